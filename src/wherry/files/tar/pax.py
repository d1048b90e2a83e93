"""PAX extended headers: `length key=value\\n` records, and what they say about an entry.

A key that stands twice is refused, because readers differ in which one they take; so is a
global header that would rename or resize entries, because Go ignores it and others obey.

Spec: POSIX pax, pax Extended Header.
"""

from __future__ import annotations

from wherry.files.tar.entry import Entry, Limits, MalformedArchive
from wherry.files.tar.header import ID_LIMIT, TIME_LIMIT_S

XATTR = b"SCHILY.xattr."
_REPEATED = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_NOT_GLOBAL = (b"path", b"linkpath", b"size", b"hdrcharset")

Records = dict[bytes, bytes]
"""By key; the values of a key that may repeat are joined by commas."""


def parse_records(data: bytes) -> Records:
    """The records of an extended header.

    Raises:
        MalformedArchive: a length that is wrong, a key without a value, one that stands twice.
    """
    records: Records = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 21)
        digits = data[position:space] if space > 0 else b""
        if not digits.isdigit():
            raise MalformedArchive("invalid PAX header: a record without a length")
        end = position + int(digits)
        if end > len(data) or end <= space + 1 or data[end - 1] != 0x0A:
            raise MalformedArchive("invalid PAX header: a record of a wrong length")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key or b"\0" in key:
            raise MalformedArchive("invalid PAX header: a record without a key and a value")
        if key in records:
            if key not in _REPEATED:
                raise MalformedArchive(f"invalid PAX header: {key!r} stands twice")
            value = records[key] + b"," + value
        records[key] = value
        position = end
    return records


def check_global(records: Records) -> Records:
    """The records of a global header that may apply to every entry that follows.

    Raises:
        MalformedArchive: one that would make other files of them.
    """
    for key in records:
        if key in _NOT_GLOBAL or key.startswith((b"GNU.sparse.", XATTR)):
            raise MalformedArchive(f"invalid PAX header: {key!r} in a global header")
    return records


def apply_records(entry: Entry, records: Records, limits: Limits) -> None:
    """Let the records overrule what the header says.

    Raises:
        MalformedArchive: a value that is none.
    """
    for key, value in records.items():
        if key.startswith(XATTR):
            entry.xattrs[_xattr_name(key)] = value
        elif key == b"path":
            entry.name = _path(value, limits)
        elif key == b"linkpath":
            entry.link = _path(value, limits)
        elif key == b"size":
            entry.size = entry.stored = _decimal(key, value, 1 << 62)
        elif key == b"uid":
            entry.uid = _decimal(key, value, ID_LIMIT)
        elif key == b"gid":
            entry.gid = _decimal(key, value, ID_LIMIT)
        elif key == b"mtime":
            entry.mtime_ns = parse_time(value)
        elif key == b"atime":
            entry.atime_ns = parse_time(value)
        elif key == b"uname":
            entry.uname = value
        elif key == b"gname":
            entry.gname = value


def parse_time(value: bytes) -> int:
    """Nanoseconds of a decimal number of seconds; finer digits are cut.

    Raises:
        MalformedArchive: no such number.
    """
    negative = value.startswith(b"-")
    whole, _, fraction = value.removeprefix(b"-").partition(b".")
    digits = whole + fraction
    if digits.isdigit() and len(digits) <= 64 and int(whole or b"0") <= TIME_LIMIT_S:
        nanoseconds = int(whole or b"0") * 1_000_000_000 + int(fraction.ljust(9, b"0")[:9])
        return -nanoseconds if negative else nanoseconds
    raise MalformedArchive(f"invalid PAX header: {value[:64]!r} is no time")


def render_time(time_ns: int) -> bytes:
    """A time as a decimal number of seconds, without trailing zeros."""
    seconds, fraction = divmod(abs(time_ns), 1_000_000_000)
    text = b"%d.%09d" % (seconds, fraction)
    return (b"-" if time_ns < 0 else b"") + text.rstrip(b"0").rstrip(b".")


def render_records(records: Records) -> bytes:
    """Records as an extended header holds them, by key: the same for the same records."""
    return b"".join(_render(key, value) for key, value in sorted(records.items()))


def _render(key: bytes, value: bytes) -> bytes:
    # The length counts itself.
    body = len(key) + len(value) + 3
    length = body + len(str(body))
    length = body + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _path(value: bytes, limits: Limits) -> bytes:
    if not value or b"\0" in value or len(value) > limits.path_bytes:
        raise MalformedArchive("invalid PAX header: a path that is empty, too long, or holds a NUL")
    return value


def _decimal(key: bytes, value: bytes, limit: int) -> int:
    if value.isdigit() and len(value) <= 20 and int(value) <= limit:
        return int(value)
    raise MalformedArchive(f"invalid PAX header: {key.decode()} is {value[:32]!r}")


def _xattr_name(key: bytes) -> str:
    name = key[len(XATTR) :]
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text or len(name) > 255:
        raise MalformedArchive("invalid PAX header: an extended attribute of a bad name")
    return text
