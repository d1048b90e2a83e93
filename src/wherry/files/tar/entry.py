"""What an archive holds: entries, and the bounds within which they are read."""

from __future__ import annotations

from wherry.errors import InvalidArgument

BLOCK = 512
REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)


class MalformedArchive(InvalidArgument):
    """The bytes are no tar archive, or one that could be read in two ways, or one beyond the limits."""


class Limits:
    """How much an archive may ask for; each is checked while streaming."""

    __slots__ = ("data_bytes", "entries", "extended_header_bytes", "path_bytes", "sparse_segments")

    def __init__(
        self,
        *,
        entries: int = 1 << 21,
        extended_header_bytes: int = 1 << 20,
        path_bytes: int = 4095,
        sparse_segments: int = 1 << 18,
        data_bytes: int = 1 << 50,
    ) -> None:
        self.entries = entries
        self.extended_header_bytes = extended_header_bytes
        self.path_bytes = path_bytes
        self.sparse_segments = sparse_segments
        self.data_bytes = data_bytes


class Entry:
    """One file, link, directory or device of an archive.

    `size` is the length of the file; where `sparse` lists its (offset, length) pieces, the
    archive holds only those.  Times are nanoseconds; `atime_ns` is None where there is none.
    """

    __slots__ = (
        "atime_ns",
        "device",
        "gid",
        "gname",
        "kind",
        "link",
        "mode",
        "mtime_ns",
        "name",
        "size",
        "sparse",
        "stored",
        "uid",
        "uname",
        "xattrs",
    )

    def __init__(
        self,
        name: bytes,
        kind: bytes = REGULAR,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime_ns: int = 0,
        link: bytes = b"",
        device: tuple[int, int] = (0, 0),
        uname: bytes = b"",
        gname: bytes = b"",
        xattrs: dict[str, bytes] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.stored = size
        """The bytes of data in the archive."""
        self.mtime_ns = mtime_ns
        self.atime_ns: int | None = None
        self.link = link
        self.device = device
        self.uname = uname
        self.gname = gname
        self.xattrs: dict[str, bytes] = xattrs or {}
        self.sparse: list[tuple[int, int]] | None = None

    def __repr__(self) -> str:
        return f"Entry({self.name!r}, {self.kind!r}, size={self.size})"
