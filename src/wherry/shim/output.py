"""A process's output: read from its pipes or terminal, into the log first, then to every client.

The order is what makes a log complete: what any client has seen is in the log's hands before.  A client
that is slow stops the reading (see `attachment`); one that is gone stops nothing.
"""

from __future__ import annotations

import fcntl
import os
import time

from wherry.shim.loop import READABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from wherry.shim.attachment import Attachment
    from wherry.shim.loop import Loop

    class LogWriter(Protocol):
        """What a container's log is written with."""

        def write(self, stream: str, chunk: bytes, time_ns: int) -> None: ...
        def flush(self, time_ns: int) -> None: ...
        def close(self) -> None: ...


CHUNK_BYTES = 128 * 1024
_DEFAULT_PIPE_BYTES = 64 * 1024
_MOST_IN_A_PIPE_READS = 64
_IDLE_S = 2.0

_buffer: bytearray | None = None


def _shared_buffer() -> bytearray:
    global _buffer
    if _buffer is None:
        _buffer = bytearray(CHUNK_BYTES)
    return _buffer


def release_buffer() -> None:
    """Give the reading buffer's memory back; the next read makes a new one."""
    global _buffer
    _buffer = None


class Output:
    """The output streams of one process.  Owns the descriptors, which do not block.

    `on_end` is called once, when all streams have ended.
    """

    __slots__ = ("_attachments", "_blocked", "_log", "_loop", "_on_end", "_streams", "_widened")

    def __init__(
        self,
        streams: dict[int, str],
        loop: Loop,
        *,
        log_writer: LogWriter | None,
        attachments: list[Attachment],
        on_end: Callable[[], None],
    ) -> None:
        self._streams = streams
        self._loop = loop
        self._log = log_writer
        self._attachments = attachments
        self._on_end = on_end
        self._blocked = False
        self._widened: set[int] = set()
        for fd in streams:
            self._watch(fd)

    @property
    def ended(self) -> bool:
        """Whether every stream has ended."""
        return not self._streams

    def room(self) -> None:
        """Read again if no client is full any more."""
        if self._blocked and not self._any_full():
            self._blocked = False
            for fd in self._streams:
                self._watch(fd)

    def drain(self) -> None:
        """Take what the process, now dead, has left in its pipes, whether or not clients are full.

        A pipe that others hold and fill is not followed for ever: what fits into one is taken.
        """
        for fd in list(self._streams):
            taken = 0
            while fd in self._streams and taken < _MOST_IN_A_PIPE_READS and self._read(fd):
                taken += 1

    def close(self) -> None:
        """Read no more; what other holders of the pipes still write is lost."""
        for fd in list(self._streams):
            self._end(fd)

    def _watch(self, fd: int) -> None:
        self._loop.watch(fd, READABLE, lambda _events, fd=fd: self._ready(fd))  # type: ignore[misc]

    def _ready(self, fd: int) -> None:
        if fd not in self._streams or self._blocked:
            return
        self._read(fd)
        if self._any_full():
            self._blocked = True
            for each in self._streams:
                self._loop.forget(each)

    def _any_full(self) -> bool:
        return any(each.full for each in self._attachments)

    def _read(self, fd: int) -> bool:
        """Read once and pass on; False when there was nothing."""
        buffer = _shared_buffer()
        try:
            size = os.readv(fd, [buffer])
        except BlockingIOError:
            return False
        except OSError:  # EIO: a terminal whose other side is closed
            size = 0
        if not size:
            self._end(fd)
            return False
        if size == _DEFAULT_PIPE_BYTES and fd not in self._widened:
            self._widen(fd)
        with memoryview(buffer) as whole, whole[:size] as chunk:
            self._pass_on(self._streams[fd], chunk)
        return True

    def _pass_on(self, name: str, chunk: memoryview) -> None:
        if self._log is not None:
            self._log.write(name, bytes(chunk), time.time_ns())
        for each in tuple(self._attachments):
            each.write(name, chunk)
        self._loop.call_idle(_IDLE_S, release_buffer)

    def _widen(self, fd: int) -> None:
        # Only once the process has filled its pipe: wide pipes count against the user's limit.
        self._widened.add(fd)
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 2 * CHUNK_BYTES)
        except OSError:
            pass

    def _end(self, fd: int) -> None:
        self._loop.forget(fd)
        os.close(fd)
        del self._streams[fd]
        if not self._streams:
            self._on_end()
