"""HTTP/1.1: what is answered, what is refused, and what happens when a client leaves."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.web_client import serving

from wherry.web.hijack import HijackedConnection
from wherry.web.limits import Limits
from wherry.web.messages import Hijack, Request, Response
from wherry.web.server import Server

ASKING = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
TEXT = [("Content-Type", "text/plain")]


def run(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(scenario)


async def echo(request: Request) -> Response:
    """Answers with method, target and body."""
    body = await request.body.read(10_000_000)
    return Response(200, TEXT, f"{request.method} {request.target} ".encode() + body)


class TestAnswers:
    def test_requests_on_one_connection_are_answered_in_order(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path) as connect, connect() as client:
                client.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await client.answer() == (
                    200,
                    {"content-type": "text/plain", "content-length": "7"},
                    b"GET /a ",
                )

                client.send(b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
                assert (await client.answer())[2] == b"POST /b abc"

        run(scenario())

    def test_pipelined_requests_are_answered_one_after_the_other(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path) as connect, connect() as client:
                client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(20)))
                client.writer.write_eof()

                bodies = [(await client.answer())[2] for _ in range(20)]

                assert bodies == [b"GET /%d " % n for n in range(20)]
                assert await client.reader.read() == b""

        run(scenario())

    def test_head_gets_the_length_and_no_body(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path) as connect, connect() as client:
                client.send(b"HEAD /abc HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")

                status, fields = await client.head()

                assert (status, fields["content-length"]) == (200, "10")
                assert (await client.answer())[2] == b"GET /next "

        run(scenario())

    @pytest.mark.parametrize("status", [204, 304])
    def test_a_status_without_a_body_has_none(self, tmp_path: Path, status: int) -> None:
        async def handler(request: Request) -> Response:
            return Response(status, body=b"dropped")

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)

                assert [(await client.answer())[::2] for _ in range(2)] == [(status, b"")] * 2

        run(scenario())

    def test_a_client_that_asks_is_told_to_continue(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path) as connect, connect() as client:
                client.send(ASKING)
                assert (await client.head())[0] == 100
                client.send(b"ok")

                assert (await client.answer())[2] == b"POST / ok"

        run(scenario())

    def test_a_body_that_was_announced_and_not_wanted_ends_the_connection(self, tmp_path: Path) -> None:
        async def handler(request: Request) -> Response:
            return Response(404)

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(ASKING)

                status, fields, _ = await client.answer()

                assert (status, fields["connection"]) == (404, "close")
                assert await client.reader.read() == b""

        run(scenario())

    def test_an_unread_body_is_skipped_and_the_next_request_served(self, tmp_path: Path) -> None:
        async def handler(request: Request) -> Response:
            return Response(200, TEXT, request.target.encode())

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")
                assert (await client.answer())[2] == b"/a"
                client.send(b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n".ljust(70_000, b"."))
                client.send(b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")

                assert (await client.answer())[2] == b"/b"

        run(scenario())

    def test_an_unread_body_that_is_large_ends_the_connection(self, tmp_path: Path) -> None:
        async def handler(request: Request) -> Response:
            return Response(200)

        async def scenario() -> None:
            async with serving(handler, tmp_path, Limits(discard_bytes=1000)) as connect, connect() as client:
                client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + bytes(2000))
                await client.answer()

                assert await client.reader.read() == b""

        run(scenario())

    def test_a_failing_handler_is_a_500_and_says_nothing_of_its_inside(self, tmp_path: Path) -> None:
        async def handler(request: Request) -> Response:
            raise RuntimeError("secret")

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

                status, _, body = await client.answer()

                assert status == 500
                assert b"secret" not in body

        run(scenario())


class TestStreams:
    def test_the_head_is_sent_before_the_first_chunk(self, tmp_path: Path) -> None:
        go = asyncio.Event()

        async def chunks() -> AsyncIterator[bytes]:
            await go.wait()
            yield b"one"
            yield b""
            yield b"two" * 10_000

        async def handler(request: Request) -> Response:
            return Response(200, TEXT, chunks())

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await client.head())[1]["transfer-encoding"] == "chunked"
                go.set()

                assert await client._chunks() == b"one" + b"two" * 10_000

        run(scenario())

    def test_a_slow_client_holds_the_handler_back(self, tmp_path: Path) -> None:
        sent = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(200):
                sent += 100_000
                yield bytes(100_000)

        async def handler(request: Request) -> Response:
            return Response(200, TEXT, chunks())

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect:
                plain = socket.socket(socket.AF_UNIX)
                plain.setblocking(False)
                plain.connect(str(tmp_path / "socket"))
                plain.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.sleep(0.2)
                assert sent < 3_000_000
                plain.close()
                del connect

        run(scenario())

    @pytest.mark.parametrize("how", ["close", "half-close"])
    def test_a_client_that_leaves_cancels_a_handler_that_asked_for_it(self, tmp_path: Path, how: str) -> None:
        ended = asyncio.Event()

        async def chunks() -> AsyncIterator[bytes]:
            try:
                yield b"x"
                await asyncio.sleep(60)
            finally:
                ended.set()

        async def handler(request: Request) -> Response:
            request.cancel_on_disconnect = True
            return Response(200, TEXT, chunks())

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await client.head()
                if how == "close":
                    client.writer.transport.abort()
                else:
                    client.writer.write_eof()

                await asyncio.wait_for(ended.wait(), 2)

        run(scenario())

    def test_a_handler_that_did_not_ask_finishes_its_work(self, tmp_path: Path) -> None:
        done = asyncio.Event()

        async def handler(request: Request) -> Response:
            await asyncio.sleep(0.05)
            done.set()
            return Response(204)

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect:
                async with connect() as client:
                    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
                    await asyncio.sleep(0.01)
                    client.writer.transport.abort()
                await asyncio.wait_for(done.wait(), 2)

        run(scenario())

    def test_the_end_of_the_server_waits_for_work_whose_client_has_left(self, tmp_path: Path) -> None:
        done = False

        async def handler(request: Request) -> Response:
            nonlocal done
            await asyncio.sleep(0.2)
            done = True
            return Response(204)

        async def scenario() -> None:
            server = Server(handler)
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(str(tmp_path / "socket"))
            sock.listen()
            await server.listen(sock)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "socket"))
                client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                await asyncio.sleep(0.05)

            await server.close(grace_s=5)

            assert done
            assert server.connection_count == 0

        run(scenario())

    def test_the_end_of_the_server_cuts_what_ends_with_its_client(self, tmp_path: Path) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(60)

        async def handler(request: Request) -> Response:
            request.cancel_on_disconnect = True
            return Response(200, TEXT, chunks())

        async def scenario() -> None:
            server = Server(handler)
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(str(tmp_path / "socket"))
            sock.listen()
            await server.listen(sock)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "socket"))
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await asyncio.sleep(0.05)

                async with asyncio.timeout(2):
                    await server.close(grace_s=60)

                assert server.connection_count == 0

        run(scenario())

    def test_a_stream_that_fails_is_cut_and_not_ended(self, tmp_path: Path) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            raise RuntimeError("broken")

        async def handler(request: Request) -> Response:
            return Response(200, TEXT, chunks())

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await client.head()

                with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                    await client.reader.readuntil(b"0\r\n\r\n")

        run(scenario())

    def test_a_large_body_streams_through_a_slow_handler_whole(self, tmp_path: Path) -> None:
        async def handler(request: Request) -> Response:
            size = 0
            async for chunk in request.body:
                size += len(chunk)
                await asyncio.sleep(0)
            return Response(200, TEXT, str(size).encode())

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(300):
                    client.send(b"7530\r\n" + bytes(30_000) + b"\r\n")
                    await client.writer.drain()
                client.send(b"0\r\n\r\n")

                assert (await client.answer())[2] == b"9000000"

        run(scenario())

    def test_a_body_cut_short_never_looks_whole(self, tmp_path: Path) -> None:
        seen: list[str] = []

        async def handler(request: Request) -> Response:
            try:
                await request.body.read(1000)
                seen.append("whole")
            except Exception as error:
                seen.append(type(error).__name__)
                raise
            return Response(200)

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
                client.writer.write_eof()
                assert await client.reader.read() == b""

            assert seen == ["Disconnected"]

        run(scenario())


HOST = b"GET / HTTP/1.1\r\nHost: x\r\n"
REFUSED = {
    "length and coding": HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "the same length twice": HOST + b"Content-Length: 3\r\ncontent-length: 3\r\n\r\n",
    "a list of lengths": HOST + b"Content-Length: 3, 3\r\n\r\n",
    "a signed length": HOST + b"Content-Length: +3\r\n\r\n",
    "two codings": HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    "an unknown coding": HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
    "a coding list": HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a coding in 1.0": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a folded field": HOST + b"X-A: b\r\n c\r\n\r\n",
    "a bare line feed": HOST + b"X-A: b\nX-C: d\r\n\r\n",
    "a bare carriage return": HOST + b"X-A: b\rX-C: d\r\n\r\n",
    "a blank before the colon": HOST + b"Content-Length : 3\r\n\r\n",
    "a NUL": HOST + b"X-A: b\0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": HOST + b"Host: y\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a blank in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
BROKEN_CHUNKS = [b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n", b"0x3\r\nabc\r\n", b"-1\r\n", b"\r\n"]


class TestRefusals:
    @pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED.keys())
    def test_an_ambiguous_head_is_refused_with_all_after_it(self, tmp_path: Path, head: bytes) -> None:
        served: list[str] = []

        async def handler(request: Request) -> Response:
            served.append(request.target)
            return Response(200)

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(head + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")

                status, fields, _ = await client.answer()

                assert status in (400, 501)
                assert fields["connection"] == "close"
                assert await client.reader.read() == b""
            assert served == []

        run(scenario())

    @pytest.mark.parametrize(
        "chunk", [b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n", b"0x3\r\nabc\r\n", b"-1\r\n", b"\r\n"]
    )
    def test_a_broken_chunk_fails_the_body(self, tmp_path: Path, chunk: bytes) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path) as connect, connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)

                status, fields, _ = await client.answer()

                assert (status, fields["connection"]) == (400, "close")

        run(scenario())

    def test_a_head_that_is_too_large_is_a_431(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path, Limits(head_bytes=1000)) as connect, connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2000)

                assert (await client.answer())[0] == 431

        run(scenario())

    def test_a_body_over_the_limit_is_a_413(self, tmp_path: Path) -> None:
        async def handler(request: Request) -> Response:
            await request.body.read(10)
            return Response(200)

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n" + bytes(11))

                assert (await client.answer())[0] == 413

        run(scenario())

    def test_a_head_that_never_ends_is_given_up_on(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path, Limits(head_timeout_s=0.05)) as connect, connect() as client:
                client.send(b"GET / HTTP/1.1\r\nHost")

                assert await client.reader.read() == b""

        run(scenario())

    def test_more_clients_than_allowed_are_turned_away(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with serving(echo, tmp_path, Limits(connections=1)) as connect, connect() as first:
                first.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await first.answer())[0] == 200
                async with connect() as second:
                    assert await second.reader.read() == b""

        run(scenario())


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    places = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=12)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


REQUESTS = (
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"
    b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n"
)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_how_the_bytes_are_cut_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    pieces = data.draw(cuts(REQUESTS))

    async def scenario() -> None:
        path = tmp_path_factory.mktemp("cuts")
        async with serving(echo, path) as connect, connect() as client:
            for piece in pieces:
                client.send(piece)
                await asyncio.sleep(0)

            bodies = [(await client.answer())[2] for _ in range(3)]

            assert bodies == [b"POST /a hello", b"POST /b hello", b"GET /c "]

    run(scenario())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_noise_never_reaches_a_handler_and_never_breaks_the_server(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    async def scenario() -> None:
        path = tmp_path_factory.mktemp("noise")
        async with serving(echo, path) as connect:
            async with connect() as client:
                client.send(noise)
                client.writer.write_eof()
                answer = await client.reader.read()
                assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"\0\0"))
            async with connect() as client:
                client.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await client.answer())[2] == b"GET /a "

    run(scenario())


class TestHijack:
    def test_the_client_and_the_bytes_it_sent_early_are_handed_over(self, tmp_path: Path) -> None:
        async def serve(connection: HijackedConnection) -> None:
            fd, early = await connection.detach()
            with socket.socket(fileno=fd) as sock:
                sock.setblocking(True)
                await asyncio.to_thread(converse, sock, early)

        def converse(sock: socket.socket, early: bytes) -> None:
            received = early
            while data := sock.recv(1000):
                received += data
            sock.sendall(b"got " + received)

        async def handler(request: Request) -> Hijack:
            assert request.upgrade == "tcp"
            assert await request.body.read(100) == b"{}"
            return Hijack(101, "UPGRADED", [("Connection", "Upgrade"), ("Upgrade", "tcp")], serve)

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(
                    b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                    b"Content-Length: 2\r\n\r\n{}early "
                )
                assert await client.reader.readuntil(b"\r\n\r\n") == (
                    b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
                )
                client.send(b"late")
                client.writer.write_eof()

                assert await client.reader.read() == b"got early late"

        run(scenario())

    def test_bytes_and_the_end_in_the_same_segment_as_the_request_arrive(self, tmp_path: Path) -> None:
        async def serve(connection: HijackedConnection) -> None:
            fd, early = await connection.detach()
            with socket.socket(fileno=fd) as sock:
                sock.setblocking(True)
                rest = await asyncio.to_thread(sock.recv, 100)
                sock.sendall(early + b"|" + rest)

        async def handler(request: Request) -> Hijack:
            await asyncio.sleep(0.02)  # the end of the client's stream comes meanwhile
            return Hijack(200, "OK", [], serve)

        async def scenario() -> None:
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\ninput")
                client.writer.write_eof()

                assert await client.reader.read() == b"HTTP/1.1 200 OK\r\n\r\ninput|"

        run(scenario())

    def test_a_connection_that_is_not_taken_is_closed(self, tmp_path: Path) -> None:
        async def serve(connection: HijackedConnection) -> None:
            return None

        async def handler(request: Request) -> Hijack:
            return Hijack(200, "OK", [], serve)

        async def scenario() -> None:
            descriptors = len(os.listdir("/proc/self/fd"))
            async with serving(handler, tmp_path) as connect, connect() as client:
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                assert await client.reader.read() == b"HTTP/1.1 200 OK\r\n\r\n"
            await asyncio.sleep(0.05)
            assert len(os.listdir("/proc/self/fd")) <= descriptors

        run(scenario())
