"""A hijacked connection between our three streams and a container's.

One poll loop.  Input goes out as fast as the daemon takes it, without blocking, so output is never
kept waiting; output is written as it comes, waiting for whoever reads ours.  The end of input ends
our direction only; the loop ends with the connection, or at the detach keys.
"""

from __future__ import annotations

import os
import select

from wherry.cli.demultiplex import Demultiplexer
from wherry.cli.session import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.cli.detach import DetachFilter
    from wherry.client.api import Hijacked

EOF, DETACHED = "eof", "detached"
_RECEIVE_BYTES = 1024 * 1024
_INPUT_BYTES = 256 * 1024


class Conversation:
    """`input_fd` is -1 where the container's input is not ours; `framed` output is demultiplexed."""

    def __init__(
        self,
        hijacked: Hijacked,
        *,
        input_fd: int,
        stdout_fd: int,
        stderr_fd: int,
        framed: bool,
        detach: DetachFilter | None = None,
    ) -> None:
        self._stream = hijacked.stream
        self._leftover = hijacked.leftover
        self._input_fd = input_fd
        self._stdout_fd = stdout_fd
        self._frames = Demultiplexer(stdout_fd, stderr_fd) if framed else None
        self._detach = detach
        self._pending = memoryview(b"")
        self._input_ended = input_fd < 0
        self._shut = input_fd < 0

    def run(self) -> str:
        """Carry bytes until the container's side ends or the user detaches; which of the two.

        Raises:
            CommandFailed: the stream ends inside a frame, or reports an error.
            OSError: our standard output is closed.
        """
        if self._leftover:
            self._show(memoryview(self._leftover))
        buffer = memoryview(bytearray(_RECEIVE_BYTES))
        while True:
            readable, inputs = self._wait()
            if readable and not self._receive(buffer):
                break
            if inputs:
                self._read_input()
            self._send()
            if self._detach is not None and self._detach.detached:
                return DETACHED
        if self._frames is not None:
            self._frames.finish()
        return EOF

    def _wait(self) -> tuple[bool, bool]:
        """Wait for something to do: whether output is there, and whether input is."""
        poll = select.poll()
        blocked = bool(self._pending) or self._stream.blocked()
        poll.register(self._stream.fileno(), select.POLLIN | (select.POLLOUT if blocked else 0))
        if not self._input_ended and not blocked:
            poll.register(self._input_fd, select.POLLIN)
        events = dict(poll.poll())
        stream_events = events.pop(self._stream.fileno(), 0)
        return bool(stream_events & ~select.POLLOUT), bool(events)

    def _receive(self, buffer: memoryview) -> bool:
        """Show what has come; False at the end of the container's side."""
        while True:
            size = self._stream.receive_into(buffer)
            if size is None:
                return True
            if not size:
                return False
            self._show(buffer[:size])
            if not self._stream.buffered():
                return True

    def _show(self, data: memoryview) -> None:
        if self._frames is not None:
            self._frames.feed(data)
        else:
            write_all(self._stdout_fd, data)

    def _read_input(self) -> None:
        try:
            data = os.read(self._input_fd, _INPUT_BYTES)
        except BlockingIOError:
            return
        except OSError:  # closed, or a terminal that has hung up
            data = b""
        if not data:
            self._input_ended = True
            data = self._detach.flush() if self._detach is not None else b""
        elif self._detach is not None:
            data = self._detach.feed(data)
        self._pending = memoryview(data)

    def _send(self) -> None:
        try:
            while self._pending:
                taken = self._stream.offer(self._pending)
                if not taken:
                    return
                self._pending = self._pending[taken:]
        except OSError:  # the container's input is closed: what is typed goes nowhere
            self._pending = memoryview(b"")
            self._input_ended = self._shut = True
        if self._input_ended and not self._shut:
            self._shut = True
            self._stream.shutdown_write()
