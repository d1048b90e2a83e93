"""HTTP/2: prior knowledge on the same socket, flow control both ways, and streams that are handed over."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.web_client import Client, serving

from wherry.web.framing import HTTP2_PREFACE, FrameGuard
from wherry.web.hijack import HijackedConnection
from wherry.web.messages import BadRequest, Hijack, Request, Response

FIELDS = [(":method", "POST"), (":path", "/a"), (":scheme", "http"), (":authority", "x")]
GET = [(":method", "GET"), *FIELDS[1:]]


def run(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(scenario)


class Http2Client:
    """The client's side, enough of it for a few streams."""

    def __init__(self, client: Client) -> None:
        self._client = client
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.heads: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.flush()

    def flush(self) -> None:
        self._client.send(self.h2.data_to_send())

    def request(self, fields: list[tuple[str, str]], body: bytes | None = None) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=True)
        self.flush()
        return stream

    async def step(self, *, acknowledge: bool = True) -> None:
        data = await self._client.reader.read(65536)
        assert data, "the server closed the connection"
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self.heads[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    if acknowledge:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended.add(event.stream_id)
                case h2.events.StreamReset():
                    self.reset.add(event.stream_id)
        self.flush()

    async def whole(self, stream: int) -> tuple[dict[str, str], bytes]:
        while stream not in self.ended | self.reset:
            await self.step()
        return self.heads[stream], self.bodies.get(stream, b"")


async def echo(request: Request) -> Response:
    body = await request.body.read(10_000_000)
    return Response(
        200, [("Content-Type", "text/plain"), ("Connection", "close")], request.method.encode() + body
    )


def test_requests_are_answered_on_their_streams(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(echo, tmp_path) as connect, connect() as raw:
            client = Http2Client(raw)
            streams = [client.request(FIELDS, b"%d" % n) for n in range(5)]

            answers = [await client.whole(stream) for stream in streams]

            assert [body for _, body in answers] == [b"POST%d" % n for n in range(5)]
            assert answers[0][0][":status"] == "200"
            assert "connection" not in answers[0][0]

    run(scenario())


def test_a_large_answer_waits_for_the_window(tmp_path: Path) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 100_000
            yield bytes(100_000)

    async def handler(request: Request) -> Response:
        return Response(200, [], chunks())

    async def scenario() -> None:
        async with serving(handler, tmp_path) as connect, connect() as raw:
            client = Http2Client(raw)
            stream = client.request(GET)
            while len(client.bodies.get(stream, b"")) < 65_535:
                await client.step(acknowledge=False)
            await asyncio.sleep(0.05)
            assert sent <= 200_000

            client.h2.increment_flow_control_window(5_000_000)
            client.h2.increment_flow_control_window(5_000_000, stream)
            client.flush()
            while stream not in client.ended:
                await client.step(acknowledge=False)
            assert len(client.bodies[stream]) == 4_000_000

    run(scenario())


def test_a_handler_that_fails_resets_its_stream_and_no_other(tmp_path: Path) -> None:
    async def handler(request: Request) -> Response:
        if request.method == "POST":
            raise RuntimeError("broken")
        return Response(200, [], b"fine")

    async def scenario() -> None:
        async with serving(handler, tmp_path) as connect, connect() as raw:
            client = Http2Client(raw)
            bad, good = client.request(FIELDS, b""), client.request(GET)

            assert (await client.whole(good))[1] == b"fine"
            while bad not in client.reset:
                await client.step()

    run(scenario())


def test_a_reset_cancels_a_handler_that_asked_for_it(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def handler(request: Request) -> Response:
        request.cancel_on_disconnect = True
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return Response(200)

    async def scenario() -> None:
        async with serving(handler, tmp_path) as connect, connect() as raw:
            client = Http2Client(raw)
            stream = client.request(GET)
            await client.step()
            client.h2.reset_stream(stream)
            client.flush()

            await asyncio.wait_for(ended.wait(), 2)

    run(scenario())


def test_a_hijacked_stream_half_closes(tmp_path: Path) -> None:
    async def serve(connection: HijackedConnection) -> None:
        fd, early = await connection.detach()
        with socket.socket(fileno=fd) as sock:
            sock.setblocking(True)
            await asyncio.to_thread(converse, sock, early)

    def converse(sock: socket.socket, received: bytes) -> None:
        while data := sock.recv(65536):
            received += data
        sock.sendall(received)

    async def handler(request: Request) -> Hijack:
        return Hijack(101, "UPGRADED", [("Content-Type", "x"), ("Upgrade", "tcp")], serve)

    async def scenario() -> None:
        async with serving(handler, tmp_path) as connect, connect() as raw:
            client = Http2Client(raw)
            stream = client.request(FIELDS, None) + 2
            client.h2.send_headers(stream, FIELDS)
            client.h2.send_data(stream, b"one ")
            client.flush()
            while stream not in client.heads:
                await client.step()
            client.h2.send_data(stream, b"two", end_stream=True)
            client.flush()

            head, body = await client.whole(stream)

            assert (head[":status"], body) == ("200", b"one two")

    run(scenario())


def test_garbage_after_the_preface_ends_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(echo, tmp_path) as connect, connect() as raw:
            raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100)

            assert (await raw.reader.read()).count(b"HTTP/1.1") == 0

    run(scenario())


def test_half_a_preface_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(echo, tmp_path) as connect, connect() as raw:
            raw.send(b"PRI * HT")
            await asyncio.sleep(0.01)
            raw.send(b"TP/1.1\r\nHost: x\r\n\r\n")

            assert (await raw.answer())[2] == b"PRI * "[:3]

    run(scenario())


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(frame, st.integers(0, 10), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40)),
        max_size=8,
    )
)
def test_frames_of_any_kind_never_break_the_server(
    tmp_path_factory: pytest.TempPathFactory, frames: list[bytes]
) -> None:
    async def scenario() -> None:
        path = tmp_path_factory.mktemp("frames")
        async with serving(echo, path) as connect:
            async with connect() as raw:
                raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + b"".join(frames))
                raw.writer.write_eof()
                await raw.reader.read()
            async with connect() as raw:
                client = Http2Client(raw)
                assert (await client.whole(client.request(FIELDS, b"x")))[1] == b"POSTx"

    run(scenario())


@pytest.mark.parametrize("step", [1, 7, 100, 20_000])
def test_a_frame_that_is_too_large_is_noticed_by_its_head(step: int) -> None:
    fine = HTTP2_PREFACE + frame(4, 0, 0, b"") + frame(0, 0, 1, bytes(16_384))
    guard = FrameGuard()
    for at in range(0, len(fine), step):
        guard.check(fine[at : at + step])

    with pytest.raises(BadRequest):
        guard.check((16_385).to_bytes(3, "big") + bytes(6))
