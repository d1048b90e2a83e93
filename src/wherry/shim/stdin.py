"""A process's standard input, as the shim writes it: a pipe's end or a terminal's master side."""

from __future__ import annotations

import os

from wherry.shim.loop import HUNG_UP, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.shim.loop import Loop


class Stdin:
    """Input for one process, from any number of clients.  Owns its descriptor, which does not block.

    What the process does not read, or not yet because it is still to come, waits here; while something
    waits, `full` asks the clients for patience, and `on_room` tells them when it is gone.  A process
    that has closed its input takes everything, and nothing comes of it.
    """

    __slots__ = ("_closed", "_closing", "_fd", "_loop", "_on_room", "_pending")

    def __init__(self, loop: Loop, on_room: Callable[[], None]) -> None:
        self._fd = -1
        self._loop = loop
        self._on_room = on_room
        self._pending = b""
        self._closing = self._closed = False

    def open(self, fd: int) -> None:
        """Write to `fd` from now on."""
        self._fd = fd
        if self._pending:
            self._ready(WRITABLE)
            if self._pending:
                self._loop.watch(fd, WRITABLE, self._ready)
        elif self._closing:
            self.close()

    @property
    def full(self) -> bool:
        """Whether earlier input waits for the process to read."""
        return bool(self._pending)

    def write(self, data: bytes) -> None:
        """Pass `data` on, now or when the process reads; after a close it is dropped."""
        if self._closed or self._closing or not data:
            return
        if self._pending or self._fd < 0:
            self._pending += data
            return
        self._pending = data
        self._flush()
        if self._pending:
            self._loop.watch(self._fd, WRITABLE, self._ready)

    def close_when_written(self) -> None:
        """Close once the process has read all, so that it meets the end of its input."""
        self._closing = True
        if not self._pending and self._fd >= 0:
            self.close()

    def close(self) -> None:
        """Close now."""
        if self._fd >= 0:
            self._loop.forget(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._closed = True
        self._pending = b""

    def _ready(self, events: int) -> None:
        if events & (WRITABLE | HUNG_UP):
            self._flush()
        if self._pending:
            return
        if self._closing:
            self.close()
        elif self._fd >= 0:
            self._loop.forget(self._fd)
        self._on_room()

    def _flush(self) -> None:
        try:
            written = os.write(self._fd, self._pending)
        except BlockingIOError:
            return
        except OSError:  # EPIPE: the process closed its input; EIO: the terminal is gone
            self.close()
            return
        self._pending = self._pending[written:]
