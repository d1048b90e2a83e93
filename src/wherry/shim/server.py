"""The shim's connections: who is connected, what they ask, and telling events to all of them."""

from __future__ import annotations

import _socket
import os
import struct

from wherry.diagnostics.logs import log
from wherry.errors import InvalidArgument, WherryError, to_wire
from wherry.shim import protocol
from wherry.shim.loop import READABLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.shim.loop import Loop

    Message = dict[str, Any]
    # Answers a call: (name, arguments, descriptors, which it owns) → (answer, descriptors to be closed).
    Answer = Callable[[str, Message, list[int]], tuple[Message, list[int]]]

_BACKLOG = 16
_MOST_UNSENT = 4096  # a peer that reads none of so many is not worth the memory
_PEER_CREDENTIALS = struct.Struct("iII")


def wire_error(error: Exception) -> Message:
    """`error` as an answer tells it; what is no failure of ours is logged and told as it is."""
    if isinstance(error, OSError):
        error = WherryError(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    elif not isinstance(error, WherryError):
        log("error", "unexpected failure in the shim", error=repr(error))
    wire: Message = dict(to_wire(error))
    exit_code = getattr(error, "exit_code", None)
    if exit_code is not None:
        wire["exit_code"] = exit_code
    return wire


class Server:
    """All connections of one shim."""

    __slots__ = ("_answer", "_connections", "_hello", "_listener", "_loop", "_on_alone")

    def __init__(
        self, loop: Loop, answer: Answer, hello: Callable[[], Message], on_alone: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._hello = hello
        self._on_alone = on_alone  # called when the last peer has gone
        self._connections: list[_Connection] = []
        self._listener: _socket.socket | None = None

    def listen(self, bundle_fd: int) -> None:
        """Take connections at the bundle's socket; they are answered from the first round of the loop on.

        Raises:
            OSError: the bundle is gone.
        """
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self._listener.bind(f"/proc/self/fd/{bundle_fd}/{protocol.SOCKET}")
        self._listener.listen(_BACKLOG)
        self._loop.watch(self._listener.fileno(), READABLE, self._accept)

    def add(self, sock: _socket.socket) -> None:
        """Greet a new peer, and answer it from now on."""
        connection = _Connection(sock, self._loop, self._answer, self._ended)
        self._connections.append(connection)
        connection.send(self._hello(), [])

    def tell(self, event: str, **facts: object) -> None:
        """Tell an event to every peer."""
        for connection in tuple(self._connections):
            connection.send({"event": event, **facts}, [])

    def stop_listening(self) -> None:
        """Take no more peers."""
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        """Say goodbye to all, with what is still to be sent."""
        self.stop_listening()
        for connection in tuple(self._connections):
            connection.close()

    def _ended(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        if not self._connections:
            self._on_alone()

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
        credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        _, uid, _ = _PEER_CREDENTIALS.unpack(credentials)
        if uid in (0, os.geteuid()):
            self.add(sock)
        else:
            sock.close()


class _Connection:
    """One peer.  A peer that ends, or talks nonsense, is dropped; nothing else depends on it."""

    __slots__ = ("_answer", "_loop", "_on_end", "_socket", "_unsent")

    def __init__(
        self, sock: _socket.socket, loop: Loop, answer: Answer, on_end: Callable[[_Connection], None]
    ) -> None:
        self._socket = sock
        self._loop = loop
        self._answer = answer
        self._on_end = on_end
        self._unsent: list[tuple[Message, list[int]]] = []
        loop.watch(sock.fileno(), READABLE, self._ready)

    def send(self, message: Message, fds: list[int]) -> None:
        """Send as soon as the peer takes it; `fds` are closed then."""
        if self._socket.fileno() < 0 or len(self._unsent) >= _MOST_UNSENT:
            _close_all(fds)
            self.close()
            return
        self._unsent.append((message, fds))
        if len(self._unsent) == 1:
            self._flush()

    def close(self) -> None:
        """Drop the peer."""
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            for _, fds in self._unsent:
                _close_all(fds)
            self._on_end(self)

    def _flush(self) -> None:
        while self._unsent:
            message, fds = self._unsent[0]
            try:
                protocol.send(self._socket, message, fds, flags=_socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._loop.watch(self._socket.fileno(), READABLE | WRITABLE, self._ready)
                return
            except OSError:
                self.close()
                return
            del self._unsent[0]
            _close_all(fds)
        self._loop.watch(self._socket.fileno(), READABLE, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITABLE and self._unsent:
            self._flush()
        if self._socket.fileno() < 0 or not events & ~WRITABLE:
            return
        try:
            received = protocol.receive(self._socket, flags=_socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is None:
            self.close()
        else:
            self._take(*received)

    def _take(self, message: Message, fds: list[int]) -> None:
        serial = message.pop("serial", None)
        answer: Message
        passed: list[int] = []
        try:
            name = message.pop("call", None)
            if not isinstance(name, str):
                _close_all(fds)
                raise InvalidArgument("a message without a call")
            answer, passed = self._answer(name, message, fds)
        except Exception as error:
            answer = {"error": wire_error(error)}
        self.send({"reply": serial, **answer}, passed)


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
