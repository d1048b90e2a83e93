"""A connection that a handler has taken over.

Over plain HTTP/1.1 the handler gets the client's own socket: `detach` stops reading, waits until the head
of the answer is out, and gives a duplicate together with the bytes that had come too early.  Where
something lies between (TLS, HTTP/2) it gets one end of a socket pair, and `Relay` moves bytes between the
other end and the client, half-close included, until both sides have ended.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from wherry.web.messages import Disconnected

_RELAY_BUFFER_BYTES = 256 * 1024


class Channel(Protocol):
    """The client's side of a connection that cannot be given away; a transport with half-close."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to the client."""

    def write_eof(self) -> None:
        """Tell the client that nothing more comes; it may go on sending."""

    def pause_reading(self) -> None:
        """Take nothing from the client for now."""

    def resume_reading(self) -> None:
        """Take bytes from the client again."""

    def close(self) -> None:
        """End the connection once what was written is out."""


class HijackedConnection(Protocol):
    """What `Hijack.serve` gets."""

    async def detach(self) -> tuple[int, bytes]:
        """A socket that reaches the client, and the bytes of it that were already read.

        The caller owns the descriptor, which is non-blocking, and closes it; the client then sees the end.
        May be called once.

        Raises:
            Disconnected: the client is gone.
        """


class PlainConnection:
    """A hijacked socket with nothing in between."""

    def __init__(self, transport: asyncio.Transport, leftover: bytes, flush: Callable[[], Awaitable[None]]):
        self._transport = transport
        self._leftover = leftover
        self._flush = flush

    async def detach(self) -> tuple[int, bytes]:
        """The client's own socket; see `HijackedConnection`."""
        await self._flush()
        if self._transport.is_closing():
            raise Disconnected("the client went away")
        self._transport.pause_reading()
        # A duplicate: the transport goes on owning its descriptor and closes it without a shutdown, which
        # leaves the connection to us.
        fd = os.dup(self._transport.get_extra_info("socket").fileno())
        self._transport.abort()
        leftover, self._leftover = self._leftover, b""
        return fd, leftover

    def data_received(self, data: bytes) -> None:
        """Keep what comes between the head of the answer and `detach`."""
        self._leftover += data
        if len(self._leftover) > _RELAY_BUFFER_BYTES:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Nothing to do: whoever gets the socket reads the end from it again."""

    def connection_lost(self) -> None:
        """Nothing to do: `detach` looks at the transport."""

    def resume_writing(self) -> None:
        """Nothing to do."""

    pause_writing = resume_writing


class Relay(asyncio.Protocol):
    """A hijacked connection behind TLS or HTTP/2: one end of a socket pair, and the pump to the client.

    It is the protocol of the local end.  Ends: the client's end of stream shuts down the write side of the
    pair, the end of the pair's stream becomes `Channel.write_eof`, and after both the channel is closed.
    """

    def __init__(self, channel: Channel, leftover: bytes) -> None:
        self._channel = channel
        self._early = [leftover] if leftover else []
        self._local: asyncio.Transport | None = None
        self._client_ended = False
        self._local_ended = False
        self._is_lost = False
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def detach(self) -> tuple[int, bytes]:
        """One end of a socket pair; see `HijackedConnection`."""
        if self._is_lost:
            raise Disconnected("the client went away")
        ours, theirs = socket.socketpair()
        try:
            ours.setblocking(False)
            theirs.setblocking(False)
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return theirs.detach(), b""

    # The local end, called by its transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._local = transport
        transport.set_write_buffer_limits(high=_RELAY_BUFFER_BYTES)
        early, self._early = self._early, []
        for data in early:
            transport.write(data)
        if self._client_ended:
            transport.write_eof()
        if self._is_lost:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._channel.write(data)

    def eof_received(self) -> bool:
        self._local_ended = True
        self._channel.write_eof()
        self._finish_when_ended()
        return True

    def pause_writing(self) -> None:
        self._channel.pause_reading()

    def resume_writing(self) -> None:
        self._channel.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._local_ended:
            self._local_ended = True
            self._channel.write_eof()
        self._finish()

    # The client's end, called by the connection that was hijacked.

    def client_data(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._local is None:
            self._early.append(data)
        elif not self._local.is_closing():
            self._local.write(data)

    def client_ended(self) -> None:
        """The client sends no more."""
        if self._client_ended:
            return
        self._client_ended = True
        if self._local is not None and not self._local.is_closing():
            self._local.write_eof()
        self._finish_when_ended()

    def serve_ended(self) -> None:
        """The handler is done: nobody reads the client any more, and what is still in the pair goes out."""
        self._client_ended = True
        if self._local is None:
            self._finish()
        self._finish_when_ended()

    def client_lost(self) -> None:
        """The client is gone."""
        self._is_lost = True
        if self._local is not None:
            self._local.abort()
        self._finish()

    def client_slow(self, is_slow: bool) -> None:
        """Whether the client reads slower than the local end writes."""
        if self._local is None or self._local.is_closing():
            return
        if is_slow:
            self._local.pause_reading()
        else:
            self._local.resume_reading()

    def _finish_when_ended(self) -> None:
        if self._client_ended and self._local_ended:
            self._finish()

    def _finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)
        if self._local is not None and not self._local.is_closing():
            self._local.close()
        self._channel.close()
