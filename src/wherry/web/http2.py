"""One HTTP/2 connection: many requests at once, each on its stream.

Flow control works end to end.  Bytes of a body are acknowledged once the handler keeps up with them, and an
answer waits for the client's window and for the socket.  Clients here know that we speak HTTP/2 (prior
knowledge, or ALPN over TLS); there is no upgrade from HTTP/1.1.

Spec: RFC 9113.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes

from wherry.diagnostics.logs import log
from wherry.web.body import RequestBody
from wherry.web.framing import FrameGuard
from wherry.web.hijack import Relay
from wherry.web.messages import BadRequest, Channel, Disconnected, Headers, Hijack, Request, Response

if TYPE_CHECKING:
    from wherry.web.server import Server

_WINDOW_BYTES = 1024 * 1024
_STREAMS_AT_ONCE = 250
_RESETS_BEFORE_GOAWAY = 1000  # CVE-2023-44487: streams opened and reset as fast as they can be sent
_OUT_HIGH_BYTES = 256 * 1024
_NO_BODY = (204, 304)
# Fields about a connection, which has many streams here (RFC 9113, 8.2.2).
_OF_HTTP1 = frozenset({"connection", "upgrade", "transfer-encoding", "keep-alive", "proxy-connection"})


class Http2Connection(asyncio.Protocol):
    """Speaks HTTP/2 with one client."""

    def __init__(self, server: Server, transport: asyncio.Transport, *, channel: Channel) -> None:
        self._server = server
        self._transport = transport
        self._channel = channel
        self._streams: dict[int, _Stream] = {}
        self._resets = 0
        self._guard = FrameGuard()
        self._is_lost = False
        self._writable = asyncio.Event()
        self._writable.set()
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS_AT_ONCE,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: server.limits.head_bytes,
            },
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(_WINDOW_BYTES)
        transport.set_write_buffer_limits(high=server.limits.write_buffer_bytes)
        self.flush()

    @property
    def can_be_cut(self) -> bool:
        """Whether each of its streams, if there is any, ends with its client anyway."""
        return all(stream.can_be_cut for stream in self._streams.values())

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        try:
            self._guard.check(data)
            for event in self.h2.receive_data(data):
                self._handle(event)
        except BadRequest as error:
            self._go_away(ErrorCodes.FRAME_SIZE_ERROR, error)
        except h2.exceptions.ProtocolError as error:
            log("info", "client broke HTTP/2", error=error)
            self.flush()  # the GOAWAY that says so
            self._transport.close()
        else:
            self.flush()

    def eof_received(self) -> bool:
        for stream in list(self._streams.values()):
            stream.lost()
        return bool(self._streams)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._writable.set()
        if not self._streams:
            self._server.forget(self)  # otherwise its handlers are still waited for
        for stream in list(self._streams.values()):
            stream.lost()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def shut_down(self) -> None:
        """End every stream and the connection."""
        for stream in list(self._streams.values()):
            stream.task.cancel()
        if not self._is_lost:
            self.h2.close_connection()
            self.flush()
            self._transport.close()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._open(event)
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        match event:
            case h2.events.DataReceived():
                if stream:
                    stream.feed(event.data, event.flow_controlled_length)
                else:
                    self.acknowledge(event.stream_id, event.flow_controlled_length)
            case h2.events.StreamEnded() if stream:
                stream.ended()
            case h2.events.StreamReset():
                self._count_reset()
                if stream:
                    stream.lost()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for waiting in [stream] if stream else list(self._streams.values()):
                    waiting.window_opened.set()
            case h2.events.ConnectionTerminated():
                if not self._streams:
                    self._transport.close()

    def _open(self, event: h2.events.RequestReceived) -> None:
        # With an encoding configured h2 gives text, which its types do not say.
        received = cast("list[tuple[str, str]]", event.headers)
        pseudo = {name: value for name, value in received if name.startswith(":")}
        fields = [(name, value) for name, value in received if not name.startswith(":")]
        if "host" not in dict(fields):
            fields.append(("host", pseudo.get(":authority", "")))
        stream = _Stream(self, event.stream_id)
        request = Request(
            pseudo[":method"],
            pseudo.get(":path", ""),
            Headers(fields),
            stream.body,
            protocol="HTTP/2",
            channel=self._channel,
        )
        self._streams[event.stream_id] = stream
        stream.serve(request)

    def _count_reset(self) -> None:
        self._resets += 1
        if self._resets > _RESETS_BEFORE_GOAWAY:
            self._go_away(ErrorCodes.ENHANCE_YOUR_CALM, f"{self._resets} resets")

    def _go_away(self, code: ErrorCodes, why: object) -> None:
        log("info", "client broke HTTP/2", error=why)
        self.h2.close_connection(code)
        self.flush()
        self._transport.close()

    # What streams call.

    async def answer(self, request: Request) -> Response | Hijack:
        """What the server's handler says to `request`."""
        return await self._server.handler(request)

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Let the client send `size` more bytes."""
        if size and not self._is_lost:
            try:
                self.h2.acknowledge_received_data(size, stream_id)
            except h2.exceptions.ProtocolError:
                return  # the connection is closing
            self.flush()

    def flush(self) -> None:
        """Give the transport what h2 has to say."""
        data = self.h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def writable(self) -> None:
        """Wait while the socket is full.

        Raises:
            Disconnected: the client is gone.
        """
        await self._writable.wait()
        if self._is_lost:
            raise Disconnected("the client went away")

    def close_stream(self, stream_id: int, *, reset: bool) -> None:
        """Forget a stream; with `reset`, tell the client that it is not whole."""
        self._streams.pop(stream_id, None)
        if self._is_lost:
            if not self._streams:
                self._server.forget(self)
            return
        if reset:
            try:
                self.h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
            except h2.exceptions.ProtocolError:
                return  # it has ended by itself
        self.flush()
        if self._server.is_closing and not self._streams:
            self.shut_down()


class _Stream:
    """One request and its answer; also the `Channel` of a hijacked stream."""

    def __init__(self, connection: Http2Connection, stream_id: int) -> None:
        self._connection = connection
        self._id = stream_id
        self._unacknowledged = 0
        self._is_paused = False
        self._has_ended = False
        self._is_lost = False
        self._relay: Relay | None = None
        self._out = bytearray()
        self._out_ends = False
        self._pump: asyncio.Task[None] | None = None
        self._request: Request | None = None
        self.window_opened = asyncio.Event()
        self.body = RequestBody(pause=self.pause_reading, resume=self.resume_reading)

    def serve(self, request: Request) -> None:
        """Begin to answer."""
        self._request = request
        self.task = asyncio.get_running_loop().create_task(self._serve(request))

    @property
    def can_be_cut(self) -> bool:
        """Whether the answer ends with its client anyway."""
        return bool(self._relay or (self._request and self._request.cancel_on_disconnect))

    # What the client does.

    def feed(self, data: bytes, size: int) -> None:
        """Bytes of the body came, which took `size` of the window."""
        if self._relay:
            self._relay.client_data(data)
        else:
            self.body.feed(data)
        self._unacknowledged += size
        if not self._is_paused:
            self.resume_reading()

    def ended(self) -> None:
        """The client sends no more."""
        self._has_ended = True
        self.body.end()
        if self._relay:
            self._relay.client_ended()

    def lost(self) -> None:
        """The client is gone, or has given up this stream."""
        self._is_lost = True
        self.window_opened.set()
        self.body.fail(Disconnected("the client went away"))
        if self._relay:
            self._relay.client_lost()
        elif self._request and self._request.cancel_on_disconnect:
            self.task.cancel()

    # Answering.

    async def _serve(self, request: Request) -> None:
        whole = False
        try:
            answer = await self._connection.answer(request)
            if isinstance(answer, Hijack):
                await self._hijack(answer)
            else:
                await self._respond(request, answer)
            whole = True
        except (Disconnected, asyncio.CancelledError, h2.exceptions.StreamClosedError):
            pass
        except BadRequest as error:
            text = f"{error.status}: {error}".encode()
            await self._respond(request, Response(error.status, [("content-type", "text/plain")], text))
            whole = True
        except Exception as error:
            log("error", "request failed", method=request.method, target=request.target, error=repr(error))
        finally:
            self._connection.close_stream(self._id, reset=not (whole and self._has_ended))

    async def _respond(self, request: Request, response: Response) -> None:
        body = response.body
        if isinstance(body, bytes):
            if response.status not in _NO_BODY:
                response.headers.append(("content-length", str(len(body))))
            is_empty = not body or request.method == "HEAD" or response.status in _NO_BODY
            self._send_head(response.status, response.headers, end=is_empty)
            if not is_empty:
                await self._send(body)
                self._end()
            return
        self._send_head(response.status, response.headers, end=False)
        await self._stream(request, body)
        self._end()

    async def _stream(self, request: Request, body: AsyncIterator[bytes]) -> None:
        async with aclosing(body) if isinstance(body, AsyncGenerator) else nullcontext():
            if request.method != "HEAD":
                async for chunk in body:
                    await self._send(chunk)

    def _send_head(self, status: int, headers: list[tuple[str, str]], *, end: bool) -> None:
        self._check()
        fields = [(name.lower(), value) for name, value in headers if name.lower() not in _OF_HTTP1]
        self._connection.h2.send_headers(self._id, [(":status", str(status)), *fields], end_stream=end)
        self._connection.flush()

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._check()
            size = min(self._window(), self._connection.h2.max_outbound_frame_size, len(view))
            if not size:
                self.window_opened.clear()
                await self.window_opened.wait()
                continue
            self._connection.h2.send_data(self._id, bytes(view[:size]))
            self._connection.flush()
            await self._connection.writable()
            view = view[size:]

    def _window(self) -> int:
        return max(0, self._connection.h2.local_flow_control_window(self._id))

    def _end(self) -> None:
        self._check()
        self._connection.h2.end_stream(self._id)
        self._connection.flush()

    def _check(self) -> None:
        if self._is_lost:
            raise Disconnected("the client went away")

    # Hijacked: the channel of a Relay.

    async def _hijack(self, hijack: Hijack) -> None:
        self._send_head(200, hijack.headers, end=False)
        self._relay = Relay(self, self.body.take())
        if self._has_ended:
            self._relay.client_ended()
        try:
            await hijack.serve(self._relay)
        finally:
            self._relay.serve_ended()
        await self._relay.finished
        if self._pump:
            await self._pump

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to the client, when its window allows."""
        self._out += data
        self._start_pump()

    def write_eof(self) -> None:
        """End our side of the stream once everything is sent."""
        self._out_ends = True
        self._start_pump()

    close = write_eof

    def pause_reading(self) -> None:
        """Stop acknowledging, so that the client's window runs out."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Acknowledge what came."""
        self._is_paused = False
        size, self._unacknowledged = self._unacknowledged, 0
        self._connection.acknowledge(self._id, size)

    def _start_pump(self) -> None:
        if self._relay and len(self._out) > _OUT_HIGH_BYTES:
            self._relay.client_slow(True)
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._send_out())

    async def _send_out(self) -> None:
        try:
            while self._out or not self._out_ends:
                if not self._out:
                    self._pump = None
                    return
                data = bytes(self._out)
                self._out.clear()
                if self._relay:
                    self._relay.client_slow(False)
                await self._send(data)
            self._end()
        except (Disconnected, h2.exceptions.ProtocolError):
            if self._relay:
                self._relay.client_lost()
