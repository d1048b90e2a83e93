"""Decompression of layers: told by their first bytes, bounded in what they may grow to.

gzip goes through ISA-L, several times faster than zlib; many members in a row are one stream.
A small file that would fill the disk is refused by the ratio of what came out to what went in.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.files.tar.reader import Readable

FREE_BYTES = 1 << 30
"""Below this any ratio is fine: a layer may well hold one large file of zeros."""
RATIO_LIMIT = 400
BUFFER_BYTES = 1 << 18
_MAGIC_BYTES = 6


class DecompressionFailed(InvalidArgument):
    """The stream is damaged, ends early, or grows beyond all measure."""


class Decompressed:
    """A stream of decompressed bytes; `compression` is its name, empty for none."""

    def __init__(self, stream: Readable, compression: str) -> None:
        self.compression = compression
        self._source = _Counted(stream)
        self._failures: tuple[type[Exception], ...] = ()
        self._read = self._source.read if not compression else self._open(compression)
        self._out = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; empty at the end.

        Raises:
            DecompressionFailed: see there.
        """
        try:
            data = self._read(size)
        except self._failures as error:
            raise DecompressionFailed(f"invalid {self.compression} stream: {error}") from error
        self._out += len(data)
        if self._out > FREE_BYTES + RATIO_LIMIT * self._source.count:
            raise DecompressionFailed(
                f"{self.compression or 'the'} stream grows to more than {RATIO_LIMIT} times its size"
            )
        return data

    def _open(self, compression: str) -> Callable[[int], bytes]:
        """The decoder; each is imported only when it is needed."""
        if compression == "gzip":
            from isal import igzip, isal_zlib

            damaged: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]
            self._failures = (igzip.BadGzipFile, EOFError, damaged)
            file = igzip.IGzipFile(fileobj=self._source, mode="rb")  # type: ignore[no-untyped-call]
            reader: Callable[[int], bytes] = file.read
            return reader
        if compression == "zstd":
            from wherry.files.zstd import ZstdError, ZstdFile

            self._failures = (ZstdError, EOFError)
            return ZstdFile(self._source, "rb").read  # type: ignore[call-overload, no-any-return]
        if compression == "bzip2":
            from bz2 import BZ2File

            self._failures = (OSError, EOFError)
            return BZ2File(self._source, "rb").read  # type: ignore[call-overload, no-any-return]
        from lzma import FORMAT_XZ, LZMAError, LZMAFile

        self._failures = (LZMAError, EOFError)
        return LZMAFile(self._source, "rb", format=FORMAT_XZ).read  # type: ignore[arg-type]


class _Counted:
    """The compressed side: how many bytes were taken."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(BUFFER_BYTES if size < 0 else max(size, 1))
        self.count += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Rewound:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._stream.read(size)


def open_compressed(stream: Readable, compression: str | None = None) -> Decompressed:
    """The decompressed bytes of `stream`, whose compression is told by its first bytes.

    With `compression` ("gzip", "zstd", "bzip2", "xz", or "" for none) it must be that one.

    Raises:
        DecompressionFailed: another compression than promised.
    """
    head = b""
    while len(head) < _MAGIC_BYTES and (more := stream.read(_MAGIC_BYTES - len(head))):
        head += more
    found = detect(head)
    if compression is not None and found != compression:
        raise DecompressionFailed(
            f"the stream is {found or 'not compressed'}, expected {compression or 'no compression'}"
        )
    return Decompressed(_Rewound(head, stream), found)


def detect(head: bytes) -> str:
    """The name of the compression that starts with `head`; empty for none."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    return ""


_MAGICS = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)
