"""Reading an archive from a stream: entry by entry, and the data of each on request.

    extended headers (L, K, x, g) ── header ── data, padded to 512 ── … ── two blocks of zeros

The reader touches nothing but its stream.  Memory is bounded by the limits; the time is
linear in the length.
"""

from __future__ import annotations

from wherry.files.tar.entry import (
    BLOCK,
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    Entry,
    Limits,
    MalformedArchive,
)
from wherry.files.tar.header import parse_header
from wherry.files.tar.pax import Records, apply_records, check_global, parse_records
from wherry.files.tar.sparse import check_segments, read_old_segments, read_segments_1_0, segments_of_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Readable(Protocol):
        """A stream of bytes; an empty answer is its end."""

        def read(self, size: int, /) -> bytes: ...


CHUNK_BYTES = 1 << 20
_ZEROS = bytes(BLOCK)
_TYPES = frozenset((REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_CONTIGUOUS, _GNU_SPARSE = b"7", b"S"
_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL = b"L", b"K", b"x", b"g"


class Input:
    """The stream in pieces: exact lengths from chunks as large as they come."""

    __slots__ = ("_chunk", "_left", "_stream", "offset")

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._chunk = memoryview(b"")
        self._left = 0
        self.offset = 0
        """The bytes that were handed out."""

    def take(self, length: int) -> bytes:
        """The next `length` bytes; fewer only at the end."""
        start = len(self._chunk) - self._left
        if self._left >= length:
            self._left -= length
            self.offset += length
            return bytes(self._chunk[start : start + length])
        return b"".join(self.pieces(length))

    def pieces(self, length: int) -> Iterator[memoryview]:
        """The next `length` bytes, uncopied; fewer only at the end."""
        while length > 0:
            if not self._left and not self._fill():
                return
            start = len(self._chunk) - self._left
            piece = self._chunk[start : start + length]
            self._left -= len(piece)
            self.offset += len(piece)
            length -= len(piece)
            yield piece

    def _fill(self) -> bool:
        self._chunk = memoryview(self._stream.read(CHUNK_BYTES))
        self._left = len(self._chunk)
        return self._left > 0


class TarReader:
    """An iterator of entries.  The data of the last one can be read until the next is asked for."""

    def __init__(self, stream: Readable, limits: Limits | None = None) -> None:
        self._input = Input(stream)
        self._limits = limits or Limits()
        self._globals: Records = {}
        self._count = 0
        self._total = 0
        self._unread = 0
        self._padding = 0

    def __iter__(self) -> TarReader:
        return self

    def __next__(self) -> Entry:
        """The next entry.

        Raises:
            MalformedArchive: this is no archive, or one beyond the limits.
        """
        self._skip_data()
        records: Records | None = None
        long: dict[bytes, bytes] = {}
        while True:
            block = self._input.take(BLOCK)
            if block == _ZEROS or not block:
                if records is not None or long:
                    raise MalformedArchive("invalid tar archive: it ends after an extended header")
                if block:
                    self._check_end()
                raise StopIteration
            if len(block) < BLOCK:
                raise MalformedArchive("invalid tar archive: unexpected end")
            entry = parse_header(block)
            if entry.kind == _EXTENDED:
                if records is not None:
                    raise MalformedArchive("invalid tar archive: two PAX headers for one entry")
                records = parse_records(self._extended(entry))
            elif entry.kind == _GLOBAL:
                self._globals |= check_global(parse_records(self._extended(entry)))
            elif entry.kind in (_LONG_NAME, _LONG_LINK):
                if entry.kind in long:
                    raise MalformedArchive("invalid tar archive: two long names for one entry")
                long[entry.kind] = self._long(entry)
            else:
                return self._finish_entry(entry, block, records or {}, long)

    def data(self) -> Iterator[memoryview]:
        """The data of the current entry, as it stands in the archive: without the holes.

        Each piece is valid until the next one is asked for.

        Raises:
            MalformedArchive: the archive ends within it.
        """
        while self._unread:
            for piece in self._input.pieces(self._unread):
                self._unread -= len(piece)
                yield piece
            if self._unread:
                raise MalformedArchive("invalid tar archive: unexpected end within a file")

    def _finish_entry(self, entry: Entry, block: bytes, records: Records, long: dict[bytes, bytes]) -> Entry:
        self._count += 1
        if self._count > self._limits.entries:
            raise MalformedArchive(f"tar archive has more than {self._limits.entries} entries")
        entry.name = long.get(_LONG_NAME, entry.name)
        entry.link = long.get(_LONG_LINK, entry.link)
        if self._globals:
            apply_records(entry, {**self._globals, **records}, self._limits)
        elif records:
            apply_records(entry, records, self._limits)
        _check_agreement(records, long)
        if entry.kind == _CONTIGUOUS:
            entry.kind = REGULAR
        stored = self._stored_length(entry)
        self._total += stored
        if self._total > self._limits.data_bytes:
            raise MalformedArchive(f"tar archive holds more than {self._limits.data_bytes} bytes")
        self._unread, self._padding = stored, -stored % BLOCK
        if entry.kind == _GNU_SPARSE:
            entry.kind = REGULAR
            self._set_segments(entry, *read_old_segments(self._input, block, self._limits))
        elif any(key.startswith(b"GNU.sparse.") for key in records):
            self._read_pax_segments(entry, records)
        self._check_entry(entry)
        return entry

    def _stored_length(self, entry: Entry) -> int:
        if entry.kind in (REGULAR, _GNU_SPARSE):
            return entry.stored
        if entry.kind != HARD_LINK and entry.stored:
            raise MalformedArchive(f"invalid tar archive: {entry.name!r} is no file but has data")
        entry.size = entry.stored = 0  # a hard link repeats the size of its file and has no data
        return 0

    def _read_pax_segments(self, entry: Entry, records: Records) -> None:
        """The map of a sparse file in a PAX archive; formats 0.0, 0.1 and 1.0."""
        name = records.get(b"GNU.sparse.name")
        if name:
            apply_records(entry, {b"path": name}, self._limits)
        described = segments_of_records(records, self._limits)
        if described is None:  # 1.0: the map stands at the head of the data
            before = self._input.offset
            described = read_segments_1_0(self._input, records, self._unread, self._limits)
            self._unread -= self._input.offset - before
        self._set_segments(entry, *described)

    def _set_segments(self, entry: Entry, segments: list[tuple[int, int]], size: int) -> None:
        entry.sparse = check_segments(segments, size, self._unread)
        entry.size = size
        entry.stored = self._unread

    def _check_entry(self, entry: Entry) -> None:
        limit = self._limits.path_bytes
        if entry.kind not in _TYPES:
            raise MalformedArchive(
                f"invalid tar archive: {entry.name!r} has type {entry.kind!r}, which is not supported"
            )
        if len(entry.name) > limit or len(entry.link) > limit:
            raise MalformedArchive(f"invalid tar archive: a name of more than {limit} bytes")
        if entry.kind == REGULAR and entry.name.endswith(b"/"):
            raise MalformedArchive(
                f"invalid tar archive: {entry.name!r} is a file with the name of a directory"
            )
        if entry.kind in (HARD_LINK, SYMLINK) and not entry.link:
            raise MalformedArchive(f"invalid tar archive: {entry.name!r} is a link without a target")

    def _extended(self, entry: Entry) -> bytes:
        """The data of an extended header."""
        if entry.size > self._limits.extended_header_bytes:
            raise MalformedArchive(
                f"invalid tar archive: an extended header of {entry.size} bytes,"
                f" expected at most {self._limits.extended_header_bytes}"
            )
        data = self._input.take(entry.size)
        padding = self._input.take(-entry.size % BLOCK)
        if len(data) < entry.size or len(padding) < -entry.size % BLOCK:
            raise MalformedArchive("invalid tar archive: unexpected end within a header")
        return data

    def _long(self, entry: Entry) -> bytes:
        name, _, after = self._extended(entry).partition(b"\0")
        if not name or after.strip(b"\0"):
            raise MalformedArchive("invalid tar archive: a long name that is empty or holds a NUL")
        return name

    def _skip_data(self) -> None:
        for _ in self.data():
            pass
        if self._padding:
            if len(self._input.take(self._padding)) < self._padding:
                raise MalformedArchive("invalid tar archive: unexpected end within a file")
            self._padding = 0

    def _check_end(self) -> None:
        """Read what follows the first block of zeros: zeros, else another reader sees more than this one."""
        while pieces := list(self._input.pieces(CHUNK_BYTES)):
            for piece in pieces:
                if bytes(piece).strip(b"\0"):
                    raise MalformedArchive("invalid tar archive: data after its end")


def _check_agreement(records: Records, long: dict[bytes, bytes]) -> None:
    """A GNU long name and a PAX path for one entry must be the same."""
    for kind, key in ((_LONG_NAME, b"path"), (_LONG_LINK, b"linkpath")):
        if kind in long and key in records and long[kind] != records[key]:
            raise MalformedArchive("invalid tar archive: a GNU long name and a PAX path that differ")
