"""Writing a json-file log, a chunk at a time."""

from __future__ import annotations

import os

from wherry.files import json
from wherry.files.atomic import write_all
from wherry.logs.json_file.encoding import escape_lines, format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LINE_LIMIT = 16 * 1024
"""A longer line is written in parts of at most this many bytes, its newline included."""
_HEAD = b'{"log":"'


class JsonFileWriter:
    """The log of one container; one thread writes it.

    A full disk never stops a container: what cannot be written is dropped and counted in
    `dropped_bytes`, `error` keeps the last cause, and the file stays free of half lines.
    """

    __slots__ = (
        "_attrs",
        "_capacity",
        "_fd",
        "_held",
        "_max_files",
        "_path",
        "dropped_bytes",
        "error",
        "size",
    )

    def __init__(
        self,
        path: str,
        max_size_bytes: int = -1,
        max_files: int = 1,
        *,
        attrs: Mapping[str, str] | None = None,
    ) -> None:
        """Open `path` to append.  With `max_size_bytes` it is rotated once it is that large.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = path
        self._capacity = max_size_bytes if max_size_bytes > 0 else -1
        self._max_files = max(max_files, 1)
        self._attrs = _render_attrs(attrs)
        self._held = {"stdout": b"", "stderr": b""}
        self.dropped_bytes = 0
        self.error: OSError | None = None
        self.size = 0
        """The bytes in the current file."""
        self._fd = -1
        self._open()
        self._end_torn_line()

    def write(self, stream: str, chunk: bytes, time_ns: int) -> None:
        """Log `chunk` of `stream` ("stdout" or "stderr"); a line without its end is held back."""
        held = self._held[stream]
        data = held + chunk if held else chunk
        parts: list[bytes] = []
        rest = 0
        for start, end, complete in cut(data):
            piece = data if start == 0 and end == len(data) else data[start:end]
            parts += self._encode(piece, stream, time_ns, complete=complete)
            rest = end
        self._held[stream] = data[rest:]
        if parts:
            self._put(parts)

    def flush(self, time_ns: int) -> None:
        """Write what is held back: the streams have ended."""
        for stream, held in self._held.items():
            if held:
                self._held[stream] = b""
                self._put(self._encode(held, stream, time_ns, complete=False))

    def sync(self) -> None:
        """Bring the file to the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; what is held back is lost unless it was flushed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _encode(self, text: bytes, stream: str, time_ns: int, *, complete: bool) -> list[bytes]:
        """The records of whole lines, or of one part of a line, as pieces to write in a row."""
        end = b'","stream":"%s",%s"time":"%s"}\n' % (
            stream.encode(),
            self._attrs,
            format_time(time_ns).encode(),
        )
        if not complete:
            return [_HEAD, escape_lines(text).replace(b"\n", b"\\n"), end]
        end = b"\\n" + end
        # One replacement turns every inner newline into the end of a record and the next head.
        return [_HEAD, escape_lines(text[:-1]).replace(b"\n", end + _HEAD), end]

    def _put(self, parts: list[bytes]) -> None:
        total = sum(map(len, parts))
        try:
            if self._capacity < 0 or self.size + total < self._capacity:
                self._append(parts, total)
            else:
                self._append_rotating(b"".join(parts))
        except OSError as error:
            self.error = error
            self.dropped_bytes += total

    def _append(self, parts: list[bytes], total: int) -> None:
        try:
            written = os.writev(self._fd, parts)
            if written < total:
                write_all(self._fd, memoryview(b"".join(parts))[written:])
        except OSError:
            os.ftruncate(self._fd, self.size)  # no half line stays
            raise
        self.size += total

    def _append_rotating(self, records: bytes) -> None:
        """Fill each file up to the record that reaches the capacity, as Docker does."""
        position = 0
        while position < len(records):
            if self.size >= self._capacity:
                self._rotate()
            room = self._capacity - self.size
            end = len(records)
            if end - position > room:
                end = records.index(b"\n", position + room - 1) + 1
            self._append([records[position:end]], end - position)
            position = end

    def _rotate(self) -> None:
        if self._max_files > 1:
            for number in range(self._max_files - 1, 0, -1):
                younger = f"{self._path}.{number - 1}" if number > 1 else self._path
                try:
                    os.rename(younger, f"{self._path}.{number}")
                except FileNotFoundError:
                    continue
        else:
            os.unlink(self._path)  # a new file, not a truncated one: who follows reads the old one to its end
        self._open(os.O_EXCL)

    def _open(self, flags: int = 0) -> None:
        flags |= os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o640)
        self.close()
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def _end_torn_line(self) -> None:
        """A writer that was killed may have left half a record; readers skip such a line."""
        if self.size and os.pread(self._fd, 1, self.size - 1) != b"\n":
            self._put([b"\n"])


def cut(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where to cut `data`: runs of whole lines, and parts of lines over the limit.

    Yields start, end, and whether the piece ends with its newline; what follows the last end
    is the beginning of a line.  The scan goes from limit to limit, not from line to line.
    """
    start = position = 0
    while True:
        newline = data.rfind(b"\n", position, position + LINE_LIMIT)
        if newline >= 0:
            position = newline + 1
            continue
        if position > start:
            yield start, position, True
        if len(data) - position < LINE_LIMIT:
            return
        start = position
        position = _character_end(data, start, start + LINE_LIMIT)
        yield start, position, False
        start = position


def _character_end(data: bytes, start: int, end: int) -> int:
    """`end`, or up to three bytes before it where it would cut a UTF-8 character in two."""
    for back in range(1, min(4, end - start)):
        byte = data[end - back]
        if byte >= 0xC0:  # the first byte of a character tells its length
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return end - back if length > back else end
        if byte < 0x80:
            break
    return end


def _render_attrs(attrs: Mapping[str, str] | None) -> bytes:
    if not attrs:
        return b""
    text = json.dumps(dict(sorted(attrs.items())))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return b'"attrs":%s,' % text.encode("utf-8", "replace")
