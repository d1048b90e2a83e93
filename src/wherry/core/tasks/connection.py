"""One conversation with a shim or the spawner: calls answered by serial number, and what comes unasked.

The socket is non-blocking and belongs to the loop.  The end of the connection fails every call that
waits, and is told once.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from wherry.core.tasks.values import StartFailed
from wherry.errors import Unavailable, WherryError, from_wire
from wherry.shim import protocol

Reply = tuple[dict[str, Any], list[int]]


def failure(wire: dict[str, Any]) -> WherryError:
    """The failure that a peer described."""
    if "exit_code" in wire:
        return StartFailed(wire["message"], exit_code=wire["exit_code"], hint=wire.get("hint"))
    return from_wire(wire)


class Connection:
    """A conversation over `sock`, which it owns from now on."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        peer: str,
        on_message: Callable[[dict[str, Any], list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._peer = peer
        self._on_message = on_message
        self._on_end = on_end
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._unsent: deque[tuple[dict[str, Any], list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._readable)

    @property
    def ended(self) -> bool:
        """Whether there is nobody at the other side any more."""
        return self._sock.fileno() < 0

    async def call(self, name: str, fds: Sequence[int] = (), **arguments: object) -> dict[str, Any]:
        """Ask and wait for the answer; copies of `fds` travel along.

        Raises:
            Unavailable: the connection ended before the answer.
            StartFailed, and every other kind: what the peer says.
        """
        answer, received = await self.call_for_descriptors(name, fds, **arguments)
        for fd in received:
            os.close(fd)
        return answer

    async def call_for_descriptors(self, name: str, fds: Sequence[int] = (), **arguments: object) -> Reply:
        """As `call`, with the descriptors of the answer, which are the caller's."""
        if self.ended:
            raise self._gone()
        self._serial += 1
        serial = self._serial
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[serial] = waiter
        try:
            self._send({"call": name, "serial": serial, **arguments}, fds)
            return await waiter
        finally:
            self._waiting.pop(serial, None)

    def close(self) -> None:
        """End the conversation from this side; nothing is told to `on_end`."""
        if self.ended:
            return
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        while self._unsent:
            _close_all(self._unsent.popleft()[1])
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(self._gone())

    def _gone(self) -> Unavailable:
        return Unavailable(f"the {self._peer} is gone")

    def _send(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        if not self._unsent:
            try:
                protocol.send(self._sock, message, fds)
                return
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._writable)
            except OSError:
                self._lost()
                return
        self._unsent.append((message, [os.dup(fd) for fd in fds]))

    def _writable(self) -> None:
        while self._unsent:
            message, fds = self._unsent[0]
            try:
                protocol.send(self._sock, message, fds)
            except BlockingIOError:
                return
            except OSError:
                self._lost()
                return
            self._unsent.popleft()
            _close_all(fds)
        self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        while not self.ended:
            try:
                received = protocol.receive(self._sock)
            except BlockingIOError:
                return
            except OSError:
                received = None
            if received is None:
                self._lost()
                return
            self._take(*received)

    def _take(self, message: dict[str, Any], fds: list[int]) -> None:
        serial = message.pop("reply", None)
        if serial is None:
            self._on_message(message, fds)
            return
        waiter = self._waiting.pop(serial, None)
        if waiter is None or waiter.done():  # its caller was cancelled
            _close_all(fds)
        elif "error" in message:
            _close_all(fds)
            waiter.set_exception(failure(message["error"]))
        else:
            waiter.set_result((message, fds))

    def _lost(self) -> None:
        if not self.ended:
            self.close()
            self._on_end()


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
