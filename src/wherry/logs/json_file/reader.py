"""Reading a json-file log: the last lines first found from the end, then followed.

What cannot be decoded is left out: a writer that was killed leaves half a record.  Nothing
that a container prints can look like a record: it would have to hold an unescaped quote.
"""

from __future__ import annotations

import os
import time

from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Entry: TypeAlias = tuple[int, str, bytes, dict[str, str]]
else:
    Entry = tuple
    """Time in nanoseconds, stream, bytes as printed, attributes."""

BLOCK_BYTES = 256 * 1024
LINE_LIMIT_BYTES = 1 << 20
"""A record is at most six times 16 KiB and its attributes: what is longer is no record."""
_HEAD = b'{"log":"'
_STREAM = b'","stream":"'


class JsonFileReader:
    """The log at `path` with its rotated files; `read` once, then `poll` or `follow`.

    Used by one thread at a time.  The caller closes it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fds: list[int] = []
        self._position = 0
        self._rest = b""
        self._since_ns = 0
        self._until_ns = 0
        self._streams: tuple[str, ...] = ("stdout", "stderr")
        self._tail_cache: tuple[bytes, tuple[int, str, dict[str, str]]] | None = None
        self.finished = False
        """Set once an entry after `until_ns` was met."""

    def read(
        self,
        since_ns: int | None = None,
        until_ns: int | None = None,
        tail: int | None = None,
        stdout: bool = True,
        stderr: bool = True,
    ) -> Iterator[Entry]:
        """What is in the log now, the oldest first.

        `tail` counts records of both streams, before the times are looked at, as Docker does;
        negative or None means all.  A log that is not there yet is empty.
        """
        self.close()
        self._since_ns, self._until_ns = since_ns or 0, until_ns or 0
        self._streams = tuple(name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted)
        self.finished = False
        self._fds = _open_generations(self._path)
        if tail is not None and tail >= 0:
            self._skip_to_tail(tail)
        return self.poll()

    def poll(self) -> Iterator[Entry]:
        """What came since the last call, across rotations."""
        while not self.finished:
            if not self._fds:
                self._fds = _open_generations(self._path)
                if not self._fds:
                    return
            yield from self._read_file()
            if len(self._fds) == 1 and not self._open_successors():
                return
            # The successor exists, so nothing more is written here: read what came meanwhile, then go on.
            yield from self._read_file()
            os.close(self._fds.pop(0))
            self._position, self._rest = 0, b""

    def follow(self, stop: Callable[[], bool], interval_s: float = 0.1) -> Iterator[Entry]:
        """What comes, until `stop()` is true and all before that was read; sleeps while waiting."""
        while not self.finished:
            stopping = stop()
            quiet = True
            for entry in self.poll():
                quiet = False
                yield entry
            if stopping:
                return
            if quiet:
                time.sleep(interval_s)

    def close(self) -> None:
        """Close the files; `read` starts anew."""
        while self._fds:
            os.close(self._fds.pop())
        self._position, self._rest = 0, b""

    def __enter__(self) -> JsonFileReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_file(self) -> Iterator[Entry]:
        """The entries of the current file from the position on."""
        fd = self._fds[0]
        if os.fstat(fd).st_size < self._position:
            self._position, self._rest = 0, b""  # somebody truncated it
        while not self.finished and (block := os.pread(fd, BLOCK_BYTES, self._position)):
            self._position += len(block)
            lines = (self._rest + block).split(b"\n")
            self._rest = lines.pop()
            if len(self._rest) > LINE_LIMIT_BYTES:
                self._rest = b"-"  # no record: what is left of it will not decode
            for line in lines:
                entry = self._decode(line)
                if entry is None:
                    continue
                if self._until_ns and entry[0] > self._until_ns:
                    self.finished = True
                    return
                if entry[0] >= self._since_ns and entry[1] in self._streams:
                    yield entry

    def _decode(self, line: bytes) -> Entry | None:
        """The entry of a record; lines of one chunk share all after the text, so that is parsed once."""
        end = line.find(_STREAM)
        try:
            if end < 0 or not line.startswith(_HEAD):
                return _decode_document(line)
            text, tail = line[8:end], line[end:]
            if self._tail_cache is None or self._tail_cache[0] != tail:
                self._tail_cache = tail, _decode_tail(tail)
            time_ns, stream, attrs = self._tail_cache[1]
            return time_ns, stream, _unescape(text), attrs
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def _skip_to_tail(self, count: int) -> None:
        """Move to the last `count` records, through as many files as that takes."""
        kept: list[int] = []
        position = 0
        while self._fds:
            fd = self._fds.pop()
            kept.insert(0, fd)
            position, found = _find_tail(fd, count)
            count -= found
            if count <= 0:
                break
        while self._fds:
            os.close(self._fds.pop())
        self._fds, self._position = kept, position

    def _open_successors(self) -> bool:
        """Open what follows the current file, if it was rotated."""
        current = _identity(self._fds[0])
        try:
            newest = os.stat(self._path)
        except FileNotFoundError:
            return False  # in the middle of a rotation, or the log was removed
        if (newest.st_dev, newest.st_ino) == current:
            return False
        fds = _open_generations(self._path)
        identities = [_identity(fd) for fd in fds]
        # If the current file is among them go on with the next, else it is older than all.
        while current in identities:
            identities.pop(0)
            os.close(fds.pop(0))
        self._fds += fds
        return bool(fds)


def _open_generations(path: str) -> list[int]:
    """The log's files, the oldest first.  A rotation meanwhile shows one file twice: it counts once."""
    fds: list[int] = []
    seen: set[tuple[int, int]] = set()
    number = 0
    while True:
        try:
            fd = os.open(f"{path}.{number}" if number else path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            if number:
                return fds
        else:
            if _identity(fd) in seen:
                os.close(fd)
            else:
                seen.add(_identity(fd))
                fds.insert(0, fd)
        number += 1


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _find_tail(fd: int, count: int) -> tuple[int, int]:
    """Where the last `count` whole lines of a file start, and how many of them there are."""
    end = position = os.fstat(fd).st_size
    found = -1  # the newline that ends the last whole line starts the count
    while position > 0:
        start = max(position - BLOCK_BYTES, 0)
        block = os.pread(fd, position - start, start)
        newlines = block.count(b"\n")
        if found + newlines >= count:
            at = len(block)
            for _ in range(count - found):
                at = block.rindex(b"\n", 0, at)
            return start + at + 1, count
        found += newlines
        position = start
    return (0, found + 1) if found >= 0 else (0 if count else end, 0)


def _decode_document(line: bytes) -> Entry | None:
    document = json.loads(line)
    text: str = document.get("log", "")
    raw = text.encode("utf-8", "surrogatepass")
    return parse_time(document["time"]), document["stream"], raw, document.get("attrs") or {}


def _decode_tail(tail: bytes) -> tuple[int, str, dict[str, str]]:
    document = json.loads(b"{" + tail[2:])
    return parse_time(document["time"]), document["stream"], document.get("attrs") or {}


def _unescape(text: bytes) -> bytes:
    escapes = text.count(b"\\")
    if escapes == 1 and text.endswith(b"\\n"):
        return text[:-2] + b"\n"  # the common line
    if escapes == 0:
        return text
    value: str = json.loads(b'"' + text + b'"')
    return value.encode("utf-8", "surrogatepass")


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time, as Go writes it.

    Raises:
        ValueError: another form.
    """
    date, fraction, offset_s = _split_time(text)
    year, month, day = int(date[:4]), int(date[5:7]), int(date[8:10])
    days = _days(year, month, day)
    seconds = int(date[11:13]) * 3600 + int(date[14:16]) * 60 + int(date[17:19])
    return (days * 86400 + seconds - offset_s) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])


def _split_time(text: str) -> tuple[str, str, int]:
    date, rest = text[:19], text[19:]
    if len(date) != 19 or date[10] != "T":
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    zone = len(rest) - 1 if rest.endswith("Z") else max(rest.rfind("+"), rest.rfind("-"))
    if zone < 0:
        raise ValueError(f"{text!r} has no time zone")
    offset_s = 0
    if not rest.endswith("Z"):
        sign = -1 if rest[zone] == "-" else 1
        offset_s = sign * (int(rest[zone + 1 : zone + 3]) * 3600 + int(rest[zone + 4 : zone + 6]) * 60)
    return date, rest[:zone].removeprefix(".") or "0", offset_s


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the Gregorian calendar, counted from March so that leap days come last."""
    year -= month <= 2
    era_day = 365 * year + year // 4 - year // 100 + year // 400
    return era_day + (153 * (month + (9 if month <= 2 else -3)) + 2) // 5 + day - 1 - 719468
