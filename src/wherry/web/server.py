"""The server: accepts connections, finds out what they speak, and ends them.

The first bytes decide: the HTTP/2 preface, or anything else, which is HTTP/1.1's to accept or refuse.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Protocol

from wherry.web.framing import HTTP2_PREFACE
from wherry.web.http1 import Http1Connection
from wherry.web.limits import Limits
from wherry.web.messages import Channel, Handler

if TYPE_CHECKING:
    import ssl

    from wherry.web.http2 import Http2Connection

_POLL_S = 0.02
_FIRST_WORD_S = 0.25


class Connection(Protocol):
    """What the server needs of a connection, whatever it speaks."""

    @property
    def can_be_cut(self) -> bool:
        """Whether nothing that must be finished happens on it."""

    def shut_down(self) -> None:
        """Close it now, cancelling what it does."""


class Server:
    """Serves one handler on any number of listeners."""

    def __init__(self, handler: Handler, *, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.is_closing = False
        self.last_used_at = time.monotonic()
        self._connections: set[Connection] = set()
        self._listeners: list[asyncio.Server] = []

    @property
    def connection_count(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def listen(self, sock: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Serve on a listening socket, which is the server's from now on."""
        channel: Channel = "unix" if sock.family == socket.AF_UNIX else "tls" if tls else "tcp"
        sock.setblocking(False)

        def make() -> asyncio.Protocol:  # one for each connection
            first: asyncio.Protocol = _FirstBytes(self, channel=channel)
            if tls:
                from wherry.web.tls import TlsProtocol

                return TlsProtocol(tls, first)
            return first

        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if channel == "unix" else loop.create_server
        self._listeners.append(await create(make, sock=sock, backlog=1024))

    def stop_listening(self) -> None:
        """Accept nothing more; connections that are there go on."""
        self.is_closing = True
        for listener in self._listeners:
            listener.close()

    async def close(self, *, grace_s: float = 10.0) -> None:
        """Stop listening, let work in progress end for `grace_s`, and cut followers at once."""
        self.stop_listening()
        deadline = time.monotonic() + grace_s
        while self._connections:
            is_late = time.monotonic() > deadline
            for connection in tuple(self._connections):
                if is_late or connection.can_be_cut:
                    connection.shut_down()
            await asyncio.sleep(_POLL_S)
            if is_late:
                break

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False when there are too many."""
        if len(self._connections) >= self.limits.connections:
            return False
        self._connections.add(connection)
        self.last_used_at = time.monotonic()
        return True

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self.last_used_at = time.monotonic()


class _FirstBytes(asyncio.Protocol):
    """A connection that has not yet shown what it speaks."""

    def __init__(self, server: Server, *, channel: Channel) -> None:
        self._server = server
        self._channel = channel
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = time.monotonic()

    @property
    def can_be_cut(self) -> bool:
        """Who has just connected is about to speak."""
        return not self._received and time.monotonic() - self._since > _FIRST_WORD_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.admit(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self._transport
        self._received += data
        if len(self._received) < len(HTTP2_PREFACE) and HTTP2_PREFACE.startswith(self._received):
            if not self._timer:
                timeout_s = self._server.limits.head_timeout_s
                self._timer = asyncio.get_running_loop().call_later(timeout_s, self._transport.abort)
            return
        self._stop_timer()
        self._server.forget(self)
        chosen = self._choose(self._transport)
        self._server.admit(chosen)
        self._transport.set_protocol(chosen)
        chosen.data_received(self._received)

    def _choose(self, transport: asyncio.Transport) -> Http1Connection | Http2Connection:
        if self._received.startswith(HTTP2_PREFACE):
            from wherry.web.http2 import Http2Connection

            return Http2Connection(self._server, transport, channel=self._channel)
        return Http1Connection(self._server, transport, channel=self._channel)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._server.forget(self)

    def shut_down(self) -> None:
        if self._transport:
            self._transport.close()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
