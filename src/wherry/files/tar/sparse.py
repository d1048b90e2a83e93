"""Sparse files: where the pieces of data go, in GNU's four ways to say it.

    old GNU   type S; four pairs in the header, 21 in each block that extends it
    PAX 0.0   GNU.sparse.offset and GNU.sparse.numbytes, once for each piece
    PAX 0.1   GNU.sparse.map, a list of numbers
    PAX 1.0   numbers in decimal lines at the head of the data, padded to a block

Spec: GNU tar manual, Storing Sparse Files.
"""

from __future__ import annotations

from wherry.files.tar.entry import BLOCK, Limits, MalformedArchive
from wherry.files.tar.header import parse_real_size, parse_sparse_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.files.tar.pax import Records
    from wherry.files.tar.reader import Input

Segments = list[tuple[int, int]]


def read_old_segments(source: Input, header: bytes, limits: Limits) -> tuple[Segments, int]:
    """The map and the file's length of a type S header and the blocks that extend it."""
    segments, more = parse_sparse_map(header, 386, 4)
    while more:
        block = source.take(BLOCK)
        if len(block) < BLOCK:
            raise MalformedArchive("invalid tar archive: unexpected end within a sparse map")
        further, more = parse_sparse_map(block, 0, 21)
        segments += further
        _check_count(len(segments), limits)
    return segments, parse_real_size(header)


def segments_of_records(records: Records, limits: Limits) -> tuple[Segments, int] | None:
    """The map and the file's length where PAX records tell them (0.0, 0.1); None for 1.0.

    Raises:
        MalformedArchive: an unknown version, or no map.
    """
    version = records.get(b"GNU.sparse.major", b"0"), records.get(b"GNU.sparse.minor", b"0")
    if version == (b"1", b"0"):
        return None
    if version[0] != b"0" or version[1] not in (b"0", b"1"):
        raise MalformedArchive("invalid tar archive: a sparse file of an unknown version")
    size = _number(records.get(b"GNU.sparse.size", b""))
    if b"GNU.sparse.map" in records:
        text = records[b"GNU.sparse.map"]
        numbers = _numbers(text.split(b",") if text else [], limits)
        if len(numbers) % 2:
            raise MalformedArchive("invalid tar archive: half a pair in a sparse map")
        segments = list(zip(numbers[::2], numbers[1::2], strict=True))
    else:
        offsets = _listed(records, b"GNU.sparse.offset", limits)
        lengths = _listed(records, b"GNU.sparse.numbytes", limits)
        if len(offsets) != len(lengths):
            raise MalformedArchive("invalid tar archive: half a pair in a sparse map")
        segments = list(zip(offsets, lengths, strict=True))
    stated = records.get(b"GNU.sparse.numblocks")
    if stated is not None and _number(stated) != len(segments):
        raise MalformedArchive("invalid tar archive: a sparse map of another length than stated")
    return segments, size


def read_segments_1_0(
    source: Input, records: Records, available: int, limits: Limits
) -> tuple[Segments, int]:
    """The map at the head of the data, and the file's length; reads whole blocks of `available`."""
    size = _number(records.get(b"GNU.sparse.realsize", b""))
    lines = _Lines(source, available)
    count = _number(lines.next())
    _check_count(count, limits)
    segments = [(_number(lines.next()), _number(lines.next())) for _ in range(count)]
    return segments, size


class _Lines:
    """Lines of a block-padded text; no block beyond the last line is read."""

    def __init__(self, source: Input, available: int) -> None:
        self._source = source
        self._available = available
        self._text = b""
        self._at = 0

    def next(self) -> bytes:
        while (end := self._text.find(b"\n", self._at)) < 0:
            rest = self._text[self._at :]
            block = self._source.take(BLOCK) if self._available >= BLOCK and len(rest) < 32 else b""
            if len(block) < BLOCK:
                raise MalformedArchive("invalid tar archive: a sparse map without an end")
            self._available -= BLOCK
            self._text, self._at = rest + block, 0
        line, self._at = self._text[self._at : end], end + 1
        return line


def check_segments(segments: Segments, size: int, stored: int) -> Segments:
    """The pieces, if they rise, do not overlap, lie within the file and add up to what is stored.

    Raises:
        MalformedArchive: they do not.
    """
    position = total = 0
    for offset, length in segments:
        if offset < position or offset + length > size:
            raise MalformedArchive("invalid tar archive: a sparse map that overlaps or leaves its file")
        position = offset + length
        total += length
    if total != stored:
        raise MalformedArchive("invalid tar archive: a sparse map that does not match its data")
    return [segment for segment in segments if segment[1]]


def _listed(records: Records, key: bytes, limits: Limits) -> list[int]:
    text = records.get(key)
    return _numbers(text.split(b","), limits) if text is not None else []


def _numbers(texts: list[bytes], limits: Limits) -> list[int]:
    _check_count(len(texts) // 2, limits)
    return [_number(text) for text in texts]


def _number(text: bytes) -> int:
    if text.isdigit() and len(text) <= 19:
        return int(text)
    raise MalformedArchive(f"invalid tar archive: {text[:32]!r} in a sparse map")


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.sparse_segments:
        raise MalformedArchive(f"tar archive has a sparse map of more than {limits.sparse_segments} pieces")
