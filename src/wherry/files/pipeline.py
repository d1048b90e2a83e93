"""Reading ahead: a stream that is decompressed and hashed on a thread of its own.

The thread spends its time in C with the interpreter's lock released, so parsing and writing
go on meanwhile on the other core.
"""

from __future__ import annotations

import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

    from wherry.files.tar.reader import Readable

CHUNK_BYTES = 1 << 19
DEPTH = 8


class ReadAhead:
    """A stream read up to `DEPTH` chunks ahead; each chunk updates `hasher` on the way.

    The block that opens it owns the thread, which has ended when the block has.  `size` and
    the hasher tell of the whole stream once `read` has returned empty.
    """

    def __init__(self, stream: Readable, hasher: _Hash | None = None) -> None:
        self._stream = stream
        self._hasher = hasher
        self._chunks: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._stopped = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self.size = 0

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def read(self, size: int = -1, /) -> bytes:
        """The next chunk, whatever `size` says; empty at the end."""
        with self._changed:
            while not self._chunks and not self._ended:
                self._changed.wait()
            if self._chunks:
                chunk = self._chunks.popleft()
                self._changed.notify_all()
                return chunk
        if self._failure is not None:
            raise self._failure
        return b""

    def _run(self) -> None:
        try:
            while chunk := self._stream.read(CHUNK_BYTES):
                if self._hasher is not None:
                    self._hasher.update(chunk)
                self.size += len(chunk)
                if not self._offer(chunk):
                    return
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _offer(self, chunk: bytes) -> bool:
        with self._changed:
            while len(self._chunks) >= DEPTH and not self._stopped:
                self._changed.wait()
            self._chunks.append(chunk)
            self._changed.notify_all()
            return not self._stopped
