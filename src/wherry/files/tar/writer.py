"""Writing an archive: the same entries always give the same bytes.

Headers are POSIX ustar; a PAX header stands before an entry only where something does not
fit: a long or non-ASCII name, a large number, a fraction of a second, extended attributes.
"""

from __future__ import annotations

from wherry.files.tar.entry import BLOCK, Entry
from wherry.files.tar.header import render_header
from wherry.files.tar.pax import XATTR, Records, render_records, render_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Writable(Protocol):
        """Where bytes go."""

        def write(self, data: bytes | memoryview, /) -> object: ...


class TarWriter:
    """An archive that is written to `stream`; `close` ends it."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self.size = 0
        """The bytes written so far."""

    def add(self, entry: Entry, data: Iterable[bytes | memoryview] = ()) -> None:
        """Write one entry with its data, which must be exactly as long as the entry says.

        Raises:
            ValueError: the data has another length.
        """
        records = _records(entry)
        name, prefix = _split(entry.name)
        if records:
            body = render_records(records)
            self._put(_extension(entry, len(body)))
            self._put(body)
            self._pad(len(body))
        self._put(render_header(entry, name, prefix, entry.link[:100]))
        written = 0
        for piece in data:
            written += len(piece)
            if written > entry.stored:
                break
            self._put(piece)
        if written != entry.stored:
            raise ValueError(f"{entry.name!r} has another length than its {entry.stored} bytes")
        self._pad(written)

    def close(self) -> None:
        """Write the end of the archive; the stream stays open."""
        self._put(bytes(2 * BLOCK))

    def _put(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self.size += len(data)

    def _pad(self, length: int) -> None:
        if length % BLOCK:
            self._put(bytes(-length % BLOCK))


def _records(entry: Entry) -> Records:
    """What the plain header cannot say."""
    records: Records = {}
    name, prefix = _split(entry.name)
    if not entry.name.isascii() or (prefix + b"/" + name if prefix else name) != entry.name:
        records[b"path"] = entry.name
    if len(entry.link) > 100 or not entry.link.isascii():
        records[b"linkpath"] = entry.link
    if entry.stored >= 8**11:
        records[b"size"] = b"%d" % entry.stored
    for key, number in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if number >= 8**7:
            records[key] = b"%d" % number
    if entry.mtime_ns % 1_000_000_000 or not 0 <= entry.mtime_ns < 8**11 * 1_000_000_000:
        records[b"mtime"] = render_time(entry.mtime_ns)
    if entry.atime_ns is not None:
        records[b"atime"] = render_time(entry.atime_ns)
    for key, owner in ((b"uname", entry.uname), (b"gname", entry.gname)):
        if len(owner) > 31 or not owner.isascii():
            records[key] = owner
    for attribute, value in entry.xattrs.items():
        records[XATTR + attribute.encode()] = value
    return records


def _split(name: bytes) -> tuple[bytes, bytes]:
    """The name and prefix fields; cut where the name does not fit into both."""
    if len(name) <= 100:
        return name, b""
    # The last slash that leaves at most 155 bytes before it; a directory's own slash stays behind it.
    slash = name.rfind(b"/", 0, min(156, len(name) - 1))
    if slash > 0 and len(name) - slash - 1 <= 100:
        return name[slash + 1 :], name[:slash]
    return name[:100], b""


def _extension(entry: Entry, length: int) -> bytes:
    """The header of a PAX header; its name matters to no reader of PAX."""
    last = entry.name.rstrip(b"/").rpartition(b"/")[2]
    header = Entry(b"PaxHeaders.0/" + last[:80], b"x", mode=0o644, size=length)
    return render_header(header, header.name, b"", b"")
