"""The 512-byte header: numbers, checksum, and the fields of its three dialects.

      0 name 100      124 size 12       257 magic 6 + version 2     337 minor 8
    100 mode 8        136 mtime 12      265 uname 32                345 prefix 155 (POSIX)
    108 uid 8         148 checksum 8    297 gname 32
    116 gid 8         156 type 1, 157 link 100                      329 major 8

Spec: POSIX pax, ustar Interchange Format; GNU tar manual, Basic Tar Format.
"""

from __future__ import annotations

from struct import Struct
from zlib import adler32

from wherry.files.tar.entry import BLOCK_DEVICE, CHARACTER, DIRECTORY, REGULAR, Entry, MalformedArchive

_FIELDS = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
_POSIX, _GNU = b"ustar\x0000", b"ustar  \0"
_BLANKS = b" \0"
ID_LIMIT = 0xFFFFFFFE
TIME_LIMIT_S = 1 << 50


def parse_header(block: bytes) -> Entry:
    """The entry that a header block alone describes; its type is not judged here.

    Raises:
        MalformedArchive: a wrong checksum, or a number that is none.
    """
    (
        name, mode, uid, gid, size, mtime, checksum, kind, link,
        magic, uname, gname, major, minor, prefix, end,
    ) = _FIELDS.unpack_from(block)  # fmt: skip
    _verify_checksum(block, checksum)
    entry = Entry(_text(name), kind if kind != b"\0" else REGULAR)
    entry.mode = _number(mode, "mode") & 0o7777
    entry.uid = _bounded(uid, "uid", ID_LIMIT)
    entry.gid = _bounded(gid, "gid", ID_LIMIT)
    entry.size = entry.stored = _bounded(size, "size", 1 << 62)
    seconds = _number(mtime, "mtime")
    if abs(seconds) > TIME_LIMIT_S:
        raise MalformedArchive(f"invalid tar header: mtime {seconds} is out of range")
    entry.mtime_ns = seconds * 1_000_000_000
    entry.link = _text(link)
    if magic in (_POSIX, _GNU):
        entry.uname, entry.gname = _text(uname), _text(gname)
        if kind in (CHARACTER, BLOCK_DEVICE):
            entry.device = _bounded(major, "major", 0xFFF), _bounded(minor, "minor", 0xFFFFF)
        if magic == _POSIX:
            # star keeps times in the last 24 bytes of the prefix, and says so at the end of the block.
            directory = _text(prefix[:131] if end.endswith(b"tar\0") else prefix)
            if directory:
                entry.name = directory + b"/" + entry.name
    if kind == b"\0" and entry.name.endswith(b"/"):
        entry.kind = DIRECTORY  # before POSIX directories had no type
    return entry


def _verify_checksum(block: bytes, stated: bytes) -> None:
    # Adler's low half is 1 + the sum of the bytes modulo 65521, and 256 bytes never sum up to that: one
    # C call a half instead of a loop over 512 numbers.
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    blanked = total - sum(stated) + 8 * 0x20
    found = _number(stated, "checksum")
    if found != blanked and found != _signed_sum(block):
        raise MalformedArchive(f"invalid tar header: checksum is {blanked}, expected {found}")


def _signed_sum(block: bytes) -> int:
    """The checksum as some historic writers computed it, with signed bytes."""
    field = block[:148] + b" " * 8 + block[156:]
    return sum(field) - 256 * sum(byte > 0x7F for byte in field)


def _text(field: bytes) -> bytes:
    end = field.find(b"\0")
    return field if end < 0 else field[:end]


def _number(field: bytes, what: str) -> int:
    """An octal number, or a GNU base-256 one, whose first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True)
        # The first bit only marks the form; the next one is the sign.
        return value if field[0] == 0xFF else int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(_BLANKS)
    end = digits.find(b"\0")
    if end >= 0:
        digits = digits[:end]
    if not digits:
        return 0
    try:
        if digits.isdigit():
            return int(digits, 8)
    except ValueError:
        pass
    raise MalformedArchive(f"invalid tar header: {what} is {field!r}, expected an octal number")


def _bounded(field: bytes, what: str, limit: int) -> int:
    value = _number(field, what)
    if 0 <= value <= limit:
        return value
    raise MalformedArchive(f"invalid tar header: {what} {value} is out of range")


def parse_sparse_map(block: bytes, start: int, count: int) -> tuple[list[tuple[int, int]], bool]:
    """The (offset, length) pairs of an old GNU sparse header, and whether another block follows."""
    pairs = []
    for at in range(start, start + 24 * count, 24):
        offset, length = block[at : at + 12], block[at + 12 : at + 24]
        if offset[0] == 0:
            break
        pairs.append((_bounded(offset, "offset", 1 << 62), _bounded(length, "length", 1 << 62)))
    return pairs, block[start + 24 * count] not in (0, 0x30)


def parse_real_size(block: bytes) -> int:
    """The length of the file in an old GNU sparse header."""
    return _bounded(block[483:495], "real size", 1 << 62)


def render_header(entry: Entry, name: bytes, prefix: bytes, link: bytes) -> bytes:
    """A POSIX ustar header; what does not fit stands as 0 and is told by the PAX header before it."""
    major, minor = entry.device
    mtime = entry.mtime_ns // 1_000_000_000
    block = bytearray(
        _FIELDS.pack(
            name,
            b"%07o\0" % (entry.mode & 0o7777),
            b"%07o\0" % _fitting(entry.uid, 7),
            b"%07o\0" % _fitting(entry.gid, 7),
            b"%011o\0" % _fitting(entry.stored, 11),
            b"%011o\0" % _fitting(mtime, 11),
            b" " * 8,
            entry.kind,
            link,
            _POSIX,
            entry.uname[:31],
            entry.gname[:31],
            b"%07o\0" % major,
            b"%07o\0" % minor,
            prefix,
            b"",
        )
    )
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _fitting(value: int, digits: int) -> int:
    return value if 0 <= value < 8**digits else 0
