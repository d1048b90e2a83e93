"""The framed output of containers without a terminal, written to our two streams.

A frame is one byte of stream (1 stdout, 2 stderr, 3 an error of the engine), three zeros, the
length as four bytes, and the payload.  Payloads are written straight from the receive buffer:
what arrives in one piece goes out in one writev per run of frames of the same stream.
"""

from __future__ import annotations

import os

from wherry.cli.failures import CommandFailed
from wherry.cli.session import write_all

HEADER_BYTES = 8
_BATCH = 512  # below IOV_MAX
_STDIN, _STDOUT, _STDERR, _SYSTEM = range(4)


class Demultiplexer:
    """Takes the stream in pieces of any size and writes its payloads."""

    __slots__ = ("_batch", "_batch_fd", "_error", "_fds", "_header", "_left", "_stream")

    def __init__(self, stdout_fd: int, stderr_fd: int) -> None:
        self._fds = {_STDIN: stdout_fd, _STDOUT: stdout_fd, _STDERR: stderr_fd}
        self._header = b""
        self._left = 0
        self._stream = _STDOUT
        self._error = b""
        self._batch: list[memoryview] = []
        self._batch_fd = -1

    def feed(self, data: memoryview) -> None:
        """Write what `data` completes; it may be reused afterwards.

        Raises:
            CommandFailed: the engine reports an error in the stream, or there are no frames.
        """
        position, size = 0, len(data)
        while position < size:
            if not self._left:
                position = self._take_header(data, position)
                continue
            end = min(size, position + self._left)
            self._left -= end - position
            self._payload(data[position:end])
            position = end
            if not self._left and self._stream == _SYSTEM:
                self._flush()
                raise CommandFailed(f"error from daemon in stream: {self._error.decode('utf-8', 'replace')}")
        self._flush()

    def finish(self) -> None:
        """The stream has ended.

        Raises:
            CommandFailed: inside a frame.
        """
        if self._left or self._header:
            raise CommandFailed("unexpected EOF")

    def _take_header(self, data: memoryview, position: int) -> int:
        wanted = HEADER_BYTES - len(self._header)
        header = self._header + bytes(data[position : position + wanted])
        if len(header) < HEADER_BYTES:
            self._header = header
            return len(data)
        self._header = b""
        self._stream = header[0]
        self._left = int.from_bytes(header[4:], "big")
        if self._stream > _SYSTEM:
            self._flush()
            raise CommandFailed(f"Unrecognized input header: {self._stream}")
        return position + wanted

    def _payload(self, data: memoryview) -> None:
        if self._stream == _SYSTEM:
            self._error += bytes(data[: 65536 - len(self._error)])
            return
        descriptor = self._fds[self._stream]
        if descriptor != self._batch_fd or len(self._batch) >= _BATCH:
            self._flush()
            self._batch_fd = descriptor
        self._batch.append(data)

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        if len(batch) == 1:
            write_all(self._batch_fd, batch[0])
            return
        try:
            written = os.writev(self._batch_fd, batch)
        except BlockingIOError:
            written = 0
        for piece in batch:
            if written >= len(piece):
                written -= len(piece)
            else:
                write_all(self._batch_fd, piece[written:])
                written = 0
