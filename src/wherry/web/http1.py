"""One HTTP/1.1 connection.

    HEAD ──head complete──► BODY ──body complete──► BUSY ──response out──► HEAD   (keep-alive)
                                                      └──Hijack──► HIJACKED

Bytes that come while BUSY wait: they are the next request, or the first bytes of a hijacked stream.
The connection goes on reading while BUSY, to notice that the client leaves.

Each head is framed and checked here before h11 sees it, and h11 gets nothing after the end of a request, so
that no byte of one request can be read as part of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING

import h11

from wherry.diagnostics.logs import log
from wherry.web import framing
from wherry.web.body import RequestBody
from wherry.web.framing import REASONS, refusal
from wherry.web.hijack import PlainConnection, Relay
from wherry.web.messages import BadRequest, Body, Channel, Disconnected, Headers, Hijack, Request, Response

if TYPE_CHECKING:
    from wherry.web.server import Server

_HEAD, _BODY, _BUSY, _HIJACKED, _CLOSING = range(5)
_NO_BODY = (204, 304)
_JOIN_BYTES = 16 * 1024  # below it, one write of a copy is cheaper than three
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Http1Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 with one client, one request after the other."""

    def __init__(self, server: Server, transport: asyncio.Transport, *, channel: Channel) -> None:
        self._server = server
        self._limits = server.limits
        self._transport = transport
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._phase = _HEAD
        self._received = bytearray()  # of the next head, or early while BUSY
        self._scanned = 0  # up to where there is no end of a head
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None  # pending while the client is slow
        self._has_eof = False
        self._is_lost = False
        self._has_answered = False
        self._is_draining = False
        self._hijacked: PlainConnection | Relay | None = None
        transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)

    @property
    def can_be_cut(self) -> bool:
        """Whether it is idle, or serves an answer that ends with its client anyway."""
        if not self._task or self._task.done():
            return self._phase == _CLOSING or not self._received
        return self._phase == _HIJACKED or (self._request is not None and self._request.cancel_on_disconnect)

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        if self._phase == _BODY:
            self._parser.receive_data(data)
            self._read_body()
        elif self._phase == _HIJACKED:
            self._feed_hijacked(data)
        elif self._phase == _HEAD:
            self._received += data
            self._read_head()
        elif self._phase == _BUSY:
            self._received += data
            if len(self._received) > self._limits.pipelined_bytes:
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._has_eof = True
        if self._phase == _HIJACKED:
            if isinstance(self._hijacked, Relay):
                self._hijacked.client_ended()
            return True
        if self._phase in (_HEAD, _CLOSING) or self._is_draining:
            return False
        if self._request:
            self._request.body.fail(Disconnected("the client closed its side within the body"))
            self._cancel_if_asked()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._stop_timer()
        if not self._task or self._task.done():
            self._server.forget(self)  # otherwise its handler is still waited for
        if isinstance(self._hijacked, Relay):
            self._hijacked.client_lost()
        self._let_write()
        if self._request:
            self._request.body.fail(Disconnected("the client went away"))
            self._cancel_if_asked()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        if isinstance(self._hijacked, Relay):
            self._hijacked.client_slow(True)

    def resume_writing(self) -> None:
        self._let_write()
        if isinstance(self._hijacked, Relay):
            self._hijacked.client_slow(False)

    def _let_write(self) -> None:
        writable, self._writable = self._writable, None
        if writable and not writable.done():
            writable.set_result(None)

    def _cancel_if_asked(self) -> None:
        if self._task and self._request and self._request.cancel_on_disconnect and self._phase != _HIJACKED:
            self._task.cancel()

    # Reading.

    def _read_head(self) -> None:
        if self._received.startswith(b"\r\n"):
            del self._received[:2]  # RFC 9112 2.2: an empty line before a request is ignored
        end = self._received.find(framing.END_OF_HEAD, self._scanned)
        if not 0 <= end <= self._limits.head_bytes:
            self._wait_for_head()
            return
        self._stop_timer()
        self._scanned = 0
        end += len(framing.END_OF_HEAD)
        head = bytes(self._received[:end])
        rest = bytes(self._received[end:])
        self._received.clear()
        try:
            framing.check_head(head)
            self._parser.receive_data(head)
            event = self._parser.next_event()
        except h11.RemoteProtocolError as error:
            self._refuse(BadRequest(str(error)))
            return
        except BadRequest as error:
            self._refuse(error)
            return
        assert isinstance(event, h11.Request)
        self._begin(event, rest)

    def _wait_for_head(self) -> None:
        self._scanned = max(0, len(self._received) - len(framing.END_OF_HEAD) + 1)
        if len(self._received) > self._limits.head_bytes:
            self._refuse(BadRequest("the head of the request is too large", 431))
        elif self._has_eof:
            self._close()
        elif self._received and not self._head_timer:
            self._head_timer = self._loop.call_later(self._limits.head_timeout_s, self._transport.abort)

    def _begin(self, event: h11.Request, rest: bytes) -> None:
        self._phase = _BODY
        self._has_answered = False
        self._request = Request(
            event.method.decode("ascii"),
            event.target.decode("ascii"),
            Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]),
            RequestBody(pause=self._pause_reading, resume=self._resume_reading, want=self._continue),
            protocol=f"HTTP/{event.http_version.decode('ascii')}",
            channel=self._channel,
        )
        if rest:
            self._parser.receive_data(rest)
        self._read_body()
        self._task = self._loop.create_task(self._serve(self._request))

    def _read_body(self) -> None:
        """Hand on what the parser has of the body."""
        assert self._request
        body = self._request.body
        try:
            while isinstance(event := self._parser.next_event(), h11.Data):
                body.feed(bytes(event.data))
        except h11.RemoteProtocolError as error:
            body.fail(BadRequest(str(error)))
            self._phase = _CLOSING
        else:
            if isinstance(event, h11.EndOfMessage):
                self._phase = _BUSY
                self._received += self._parser.trailing_data[0]
                body.end()
        if self._is_draining:
            self._drain_body()

    def _continue(self) -> None:
        """Let a client that asked first send its body."""
        if self._parser.they_are_waiting_for_100_continue and not self._has_answered:
            self._parser.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self._transport.write(_CONTINUE)

    def _pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # Answering.

    async def _serve(self, request: Request) -> None:
        try:
            answer = await self._server.handler(request)
            if isinstance(answer, Hijack):
                await self._hijack(answer)
            else:
                await self._respond(request, answer)
        except (Disconnected, asyncio.CancelledError):
            self._abort()
        except BadRequest as error:
            self._refuse(error)
        except Exception as error:
            log("error", "request failed", method=request.method, target=request.target, error=repr(error))
            self._refuse(BadRequest("internal error", 500))
        else:
            if self._phase != _HIJACKED:
                self._end_exchange()
        finally:
            if self._is_lost:
                self._server.forget(self)

    async def _respond(self, request: Request, response: Response) -> None:
        body = response.body
        fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.headers]
        if isinstance(body, bytes) and response.status not in _NO_BODY:
            fields.append((b"content-length", b"%d" % len(body)))
        if self._parser.they_are_waiting_for_100_continue or self._phase == _CLOSING:
            # Whether the client sends the body it announced is now open: nothing may follow it.
            fields.append((b"connection", b"close"))
        reason = REASONS.get(response.status, b"")
        head = self._parser.send(h11.Response(status_code=response.status, headers=fields, reason=reason))
        assert head is not None
        self._has_answered = True
        if isinstance(body, bytes):
            end = b""
            if body and request.method != "HEAD" and response.status not in _NO_BODY:
                end = self._parser.send(h11.Data(data=body)) or b""
            end += self._parser.send(h11.EndOfMessage()) or b""
            self._transport.write(head + end)
        else:
            self._transport.write(head)
            await self._stream(request, body)

    async def _stream(self, request: Request, body: Body) -> None:
        assert not isinstance(body, bytes)
        async with aclosing(body) if isinstance(body, AsyncGenerator) else nullcontext():
            if request.method != "HEAD":
                async for chunk in body:
                    if chunk:
                        self._write_parts(h11.Data(data=chunk))
                        await self._flow()
        self._write_parts(h11.EndOfMessage())

    def _write_parts(self, event: h11.Data | h11.EndOfMessage) -> None:
        if self._is_lost:
            raise Disconnected("the client went away")
        parts = self._parser.send_with_data_passthrough(event) or []
        if sum(map(len, parts)) < _JOIN_BYTES:
            self._transport.write(b"".join(parts))
            return
        for part in parts:  # without copying what is large
            self._transport.write(part)

    async def _flow(self) -> None:
        """Wait while the client is slow.

        Raises:
            Disconnected: the client is gone.
        """
        if self._writable:
            await self._writable
        if self._is_lost:
            raise Disconnected("the client went away")

    async def _flush(self) -> None:
        """Wait until all that was written has left this process."""
        self._transport.set_write_buffer_limits(high=0)
        if self._transport.get_write_buffer_size() and not self._writable:
            self._writable = self._loop.create_future()
        await self._flow()
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)

    async def _hijack(self, hijack: Hijack) -> None:
        if self._is_lost:
            raise Disconnected("the client went away")
        lines = [f"HTTP/1.1 {hijack.status} {hijack.reason}"]
        lines += [f"{name}: {value}" for name, value in hijack.headers]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        early = bytes(self._received)
        self._received.clear()
        self._phase = _HIJACKED
        self._resume_reading()
        if self._transport.get_extra_info("socket") is not None:
            self._hijacked = plain = PlainConnection(self._transport, early, self._flush)
            try:
                await hijack.serve(plain)
            finally:
                self._transport.close()
            return
        self._hijacked = relay = Relay(self._transport, early)
        if self._has_eof:
            relay.client_ended()
        try:
            await hijack.serve(relay)
        finally:
            relay.serve_ended()
        await relay.finished

    def _feed_hijacked(self, data: bytes) -> None:
        if isinstance(self._hijacked, Relay):
            self._hijacked.client_data(data)
        elif self._hijacked:
            self._hijacked.data_received(data)

    # Between two requests.

    def _end_exchange(self) -> None:
        self._task = None
        if self._phase == _BODY and self._parser.our_state is h11.DONE:
            assert self._request
            self._is_draining = True
            self._request.body.discard()
            self._head_timer = self._loop.call_later(self._limits.close_grace_s, self._transport.abort)
            self._drain_body()
        else:
            self._start_next()

    def _drain_body(self) -> None:
        """Read on to the end of a body that the handler did not want, or give up on the connection."""
        assert self._request
        if self._phase == _BODY and self._request.body.discarded_bytes <= self._limits.discard_bytes:
            return
        self._is_draining = False
        self._stop_timer()
        self._start_next()

    def _start_next(self) -> None:
        self._request = None
        if self._phase != _BUSY or self._parser.our_state is not h11.DONE or self._is_lost:
            self._close()
            return
        self._phase = _HEAD
        if self._parser.trailing_data[0]:
            self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)
        else:
            self._parser.start_next_cycle()
        self._resume_reading()
        if self._received:
            self._read_head()
        elif self._has_eof or self._server.is_closing:
            self._close()

    def _refuse(self, error: BadRequest) -> None:
        """Say what was wrong, in words, and close: where the next request begins is unknown."""
        if self._has_answered or self._is_lost or self._phase == _HIJACKED:
            self._abort()
            return
        self._phase = _CLOSING
        self._has_answered = True
        self._transport.write(refusal(error))
        self._close()

    def _close(self) -> None:
        """Close once what was written is out, giving the client time to read it.

        A close with unread bytes makes the kernel reset the connection, and the client may lose the answer.
        """
        self._phase = _CLOSING
        if self._has_eof or self._is_lost:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._head_timer = self._loop.call_later(self._limits.close_grace_s, self._transport.abort)

    def _abort(self) -> None:
        """Cut the connection, so that the client sees that the answer is not whole."""
        self._phase = _CLOSING
        self._transport.abort()

    def shut_down(self) -> None:
        """End the connection now: an idle one by closing it, another by cancelling its handler."""
        if self._task and not self._task.done():
            self._task.cancel()
        else:
            self._transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None
