"""A client attached to a process: its own socket, into which the shim writes and from which it reads.

Output is framed as Docker's stdcopy does (one byte for the stream, three zero bytes, the length as four
bytes big-endian, the payload), or raw.  What the socket does not take at once waits in a queue; a queue
beyond QUEUE_LIMIT_BYTES stops the reading of the process's output, which blocks the process in the end.

The socket's file description is shared with whoever passed it, so its O_NONBLOCK is left alone: each call
says MSG_DONTWAIT for itself.
"""

from __future__ import annotations

import _socket
import struct

from wherry.shim.loop import HUNG_UP, READABLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.shim.loop import Loop
    from wherry.shim.stdin import Stdin

QUEUE_LIMIT_BYTES = 1024 * 1024
INPUT_BYTES = 64 * 1024

EOF, DETACHED, EXITED, FAILED = "eof", "detached", "exited", "failed"

_STREAM_NUMBERS = {"stdout": 1, "stderr": 2}
_HEADER = struct.Struct(">BxxxI")
_SEND_FLAGS = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL


class DetachKeys:
    """Finds the keys that end an attachment, as they are typed.

    A read that is exactly the next part of the sequence counts; the same bytes in the middle of a
    longer read, such as a paste, are data.  Held keys that turn out to be data are passed on.
    """

    __slots__ = ("_keys", "_matched")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def filter(self, data: bytes) -> tuple[bytes, bool]:
        """What of `data` is input, and whether the sequence is complete."""
        keys = self._keys
        if not keys:
            return data, False
        if keys.startswith(data, self._matched):
            self._matched += len(data)
            return b"", self._matched == len(keys)
        held, self._matched = keys[: self._matched], 0
        if keys.startswith(data):
            self._matched = len(data)
            return held, self._matched == len(keys)
        return held + data, False


class Attachment:
    """One client.  `on_end` is called once, with the reason; `on_room` when a full queue has room again."""

    __slots__ = (
        "_closes_stdin", "_ending", "_framed", "_keys", "_loop", "_on_end", "_on_room", "_pending",
        "_reading", "_socket", "_stdin", "names", "number",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        fd: int,
        *,
        loop: Loop,
        names: frozenset[str],
        framed: bool,
        stdin: Stdin | None,
        closes_stdin: bool,
        detach_keys: bytes,
        on_end: Callable[[Attachment, str], None],
        on_room: Callable[[], None],
    ) -> None:
        self.number = number
        self.names = names
        self._socket = _socket.socket(fileno=fd)
        self._loop = loop
        self._framed = framed
        self._stdin = stdin
        self._closes_stdin = closes_stdin
        self._keys = DetachKeys(detach_keys)
        self._on_end = on_end
        self._on_room = on_room
        self._pending = bytearray()
        self._ending = ""
        self._reading = stdin is not None
        self._watch()

    @property
    def full(self) -> bool:
        """Whether the process has to wait for this client."""
        return len(self._pending) >= QUEUE_LIMIT_BYTES

    def write(self, name: str, chunk: memoryview) -> None:
        """Send output of the stream `name`, now or as soon as the client takes it."""
        if name not in self.names or self._ending:
            return
        header = _HEADER.pack(_STREAM_NUMBERS[name], len(chunk)) if self._framed else b""
        sent = 0
        if not self._pending:
            try:
                sent = self._socket.sendmsg((header, chunk), (), _SEND_FLAGS)
            except BlockingIOError:
                pass
            except OSError:
                self._end(EOF)
                return
            if sent == len(header) + len(chunk):
                return
        was_empty = not self._pending
        if sent < len(header):
            self._pending += header[sent:]
        self._pending += chunk[max(0, sent - len(header)) :]
        if was_empty:
            self._watch()

    def finish(self, reason: str) -> None:
        """End once all output is sent.

        The socket is only closed: the client meets the end when whoever passed it closes theirs, which
        a daemon does once it has the exit code, so that nobody asks for that too early.
        """
        if not self._ending:
            self._ending = reason
            self._reading = False
            if self._pending:
                self._watch()
            else:
                self._close(reason)

    def take_input(self, data: bytes) -> None:
        """Pass `data` on to the process, as if it had just come from the client."""
        if self._stdin is not None and data:
            data, detached = self._keys.filter(data)
            self._stdin.write(data)
            if detached:
                self._end(DETACHED)

    def resume_input(self) -> None:
        """Read from the client again, after the process's stdin was full."""
        if self._reading:
            self._watch()

    def _watch(self) -> None:
        events = 0
        if self._pending:
            events |= WRITABLE
        if self._reading and self._stdin is not None and not self._stdin.full:
            events |= READABLE
        self._loop.watch(self._socket.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & (WRITABLE | HUNG_UP) and self._pending:
            self._flush()
        if self._socket.fileno() < 0:
            return
        if events & (READABLE | HUNG_UP) and self._reading:
            self._read()
        elif events & HUNG_UP and not events & WRITABLE:
            self._end(EOF)

    def _flush(self) -> None:
        was_full = self.full
        try:
            with memoryview(self._pending) as view:
                sent = self._socket.send(view, _SEND_FLAGS)
        except BlockingIOError:
            return
        except OSError:
            self._end(EOF)
            return
        del self._pending[:sent]
        if not self._pending:
            if self._ending:
                self._close(self._ending)
                return
            self._watch()
        if was_full and not self.full:
            self._on_room()

    def _read(self) -> None:
        if self._stdin is None or self._stdin.full:
            self._loop.forget(self._socket.fileno())  # hung up, which would be told again and again
            return
        try:
            data = self._socket.recv(INPUT_BYTES, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self._end(EOF)
            return
        if data:
            self.take_input(data)
        elif self._closes_stdin:
            self._reading = False
            self._stdin.close_when_written()
        else:
            self._end(EOF)
        if self._socket.fileno() >= 0:
            self._watch()

    def _end(self, reason: str) -> None:
        # At once: the client is gone, or has left.
        was_full = self.full
        self._pending.clear()
        self._close(reason)
        if was_full:
            self._on_room()

    def _close(self, reason: str) -> None:
        if self._socket.fileno() < 0:
            return
        self._ending = reason
        self._reading = False
        self._loop.forget(self._socket.fileno())
        if reason == EXITED:
            self._discard_input()
        self._socket.close()
        self._on_end(self, reason)

    def _discard_input(self) -> None:
        # TCP answers a close with unread input by a reset, which can overtake the last output.
        try:
            while self._socket.recv(INPUT_BYTES, _socket.MSG_DONTWAIT):
                pass
        except OSError:
            pass
