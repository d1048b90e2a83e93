"""Streams between coroutines and threads: archives flow through them, a bounded piece at a time.

A reader or writer belongs to one thread; its other end to the loop.  When either side gives up,
the other one is woken with `StreamClosed`, so neither is left waiting.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError, Future
from typing import IO

from wherry.core.threads import Threads
from wherry.errors import Unavailable

PIECES = 8
PIECE_BYTES = 256 << 10


class StreamClosed(Unavailable):
    """The other side of the stream gave up."""

    def __init__(self) -> None:
        super().__init__("stream closed by the other side")


class BodyReader(io.RawIOBase):
    """Reads, on a thread, what an asynchronous iterator yields on the loop."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        super().__init__()
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._rest = memoryview(b"")
        self._pending: Future[bytes] | None = None
        self._stopped = threading.Event()

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with what is there, waiting for the next piece when nothing is; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(self._next())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def stop(self) -> None:
        """End it from the loop: a thread that waits in `read` gets StreamClosed."""
        self._stopped.set()
        pending = self._pending
        if pending is not None:
            pending.cancel()

    def _next(self) -> bytes:
        """The next piece that is not empty, or the empty one at the end."""
        if self._stopped.is_set():
            raise StreamClosed
        self._pending = asyncio.run_coroutine_threadsafe(self._pull(), self._loop)
        if self._stopped.is_set():  # `stop` may have come before it could see what is pending
            self._pending.cancel()
        try:
            return self._pending.result()
        except CancelledError:
            raise StreamClosed from None

    async def _pull(self) -> bytes:
        """What the body yields up to `PIECE_BYTES` or its end: one change of threads for many pieces."""
        pieces: list[bytes] = []
        length = 0
        async for piece in self._body:
            pieces.append(piece)
            length += len(piece)
            if length >= PIECE_BYTES:
                break
        return b"".join(pieces)


def open_source(source: AsyncIterator[bytes] | IO[bytes]) -> tuple[IO[bytes], Callable[[], None]]:
    """A file to read `source` from on a thread, and what ends a read from the loop."""
    if isinstance(source, AsyncIterator):
        raw = BodyReader(source)
        return io.BufferedReader(raw, PIECE_BYTES), raw.stop
    return source, _nothing


def _nothing() -> None:
    """A file's reads end by themselves."""


class PieceWriter:
    """Takes bytes on a thread, for a loop to iterate over; at most `PIECES` wait in between."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._slots = threading.Semaphore(PIECES)
        self._stopped = threading.Event()
        self._buffer = bytearray()

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, waiting while the reader is behind.

        Raises:
            StreamClosed: nobody reads any more.
        """
        self._buffer += data
        if len(self._buffer) >= PIECE_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Pass on what is buffered."""
        if self._buffer:
            self._put(bytes(self._buffer))
            self._buffer.clear()

    def end(self) -> None:
        """Pass on what is buffered, and then the end."""
        self.flush()
        self._put(None)

    def _put(self, piece: bytes | None) -> None:
        self._slots.acquire()
        if self._stopped.is_set():
            raise StreamClosed
        self._loop.call_soon_threadsafe(self._queue.put_nowait, piece)

    def stop(self) -> None:
        """End it from the loop: a thread that waits in `write` gets StreamClosed."""
        self._stopped.set()
        self._slots.release(PIECES)

    async def next_piece(self) -> bytes | None:
        """The next bytes, or None at the end."""
        piece = await self._queue.get()
        self._slots.release()
        return piece


async def stream_from_thread(
    threads: Threads, produce: Callable[[PieceWriter], None]
) -> AsyncIterator[bytes]:
    """What `produce` writes, as it writes it; its failure is raised where the bytes end."""
    writer = PieceWriter()

    def run() -> None:
        produce(writer)
        writer.end()

    call = asyncio.ensure_future(threads.transfer(run))
    pending: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            pending = asyncio.ensure_future(writer.next_piece())
            await asyncio.wait((pending, call), return_when=asyncio.FIRST_COMPLETED)
            if not pending.done():
                await call  # raises its failure; after a success the rest is in the queue
            piece = await pending
            if piece is None:
                break
            yield piece
        await call
    finally:
        writer.stop()
        if pending is not None:
            pending.cancel()
        await asyncio.wait([call])
        if not call.cancelled():
            call.exception()
