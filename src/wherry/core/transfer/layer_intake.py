"""Taking in a layer of unknown compression: one pass gives the blob and both its digests."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterator
from typing import IO, Protocol

import msgspec

from wherry.core.content import ContentStore, Ingest
from wherry.diagnostics.faults import fault_point
from wherry.errors import InvalidArgument
from wherry.files.tar.decompress import open_compressed
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, new_hasher

CHUNK_BYTES = 1 << 20
_GZIP_LEVEL = 1
_GZIP_WINDOW = 31  # zlib's number for a gzip header and the largest window
_XZ_MEMORY_BYTES = 256 << 20
_FREE_BYTES = 1 << 30
_RATIO_LIMIT = 1000


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in the store, and the digest of its tar."""

    descriptor: Descriptor
    diff_id: Digest


def take_layer(content: ContentStore, file: IO[bytes], *, key: str, on_bytes: Callable[[int], None]) -> Layer:
    """Read a tar, compressed or not, from `file` into the content store; blocks.

    Raises:
        InvalidArgument: damaged, or it expands without bound.
    """
    source = _Source(file)
    kind = _kind(source.head)
    with content.ingest(key) as ingest:
        if kind in ("gzip", "zstd"):
            media_type = media_types.OCI_LAYER_GZIP if kind == "gzip" else media_types.OCI_LAYER_ZSTD
            diff_id = _keep(source, ingest, on_bytes)
        else:
            media_type = media_types.OCI_LAYER_GZIP
            diff_id = _compress(_tar_pieces(source, kind), ingest, on_bytes)
        found = ingest.descriptor
        fault_point("import.layer-received")
    return Layer(descriptor=Descriptor(media_type, found.digest, found.size), diff_id=diff_id)


def _kind(head: bytes) -> str:
    for magic, kind in (
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"BZh", "bzip2"),
    ):
        if head.startswith(magic):
            return kind
    return ""


class _Source:
    """A stream whose first bytes can be looked at; `sink` sees what is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.head = _read_exactly(file, 6)
        self._unread = self.head
        self.sink: Callable[[bytes], object] | None = None
        self.total = 0

    def read(self, size: int = CHUNK_BYTES, /) -> bytes:
        """The next bytes; empty at the end."""
        if self._unread:
            piece, self._unread = self._unread, b""
        else:
            piece = self._file.read(size if size > 0 else CHUNK_BYTES)
        self.total += len(piece)
        if self.sink is not None and piece:
            self.sink(piece)
        return piece


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := file.read(size - len(data))):
        data += piece
    return data


def _keep(source: _Source, ingest: Ingest, on_bytes: Callable[[int], None]) -> Digest:
    """Store the bytes as they come, and hash what they decompress to."""
    source.sink = ingest.write
    hasher = new_hasher()
    tar = open_compressed(source)
    while piece := tar.read(CHUNK_BYTES):
        hasher.update(piece)
        on_bytes(ingest.offset)
    while source.read():
        pass  # what follows the last member belongs to the blob, if not to the tar
    return Digest(f"sha256:{hasher.hexdigest()}")


def _compress(pieces: Iterator[bytes], ingest: Ingest, on_bytes: Callable[[int], None]) -> Digest:
    """Store the tar compressed by gzip, and hash the tar."""
    from isal import isal_zlib  # only an import needs it

    hasher = new_hasher()
    compressor = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    for piece in pieces:
        hasher.update(piece)
        if compressed := compressor.compress(piece):
            ingest.write(compressed)
        on_bytes(ingest.offset)
    ingest.write(compressor.flush())
    return Digest(f"sha256:{hasher.hexdigest()}")


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def _tar_pieces(source: _Source, kind: str) -> Iterator[bytes]:
    """The tar in `source`, which is plain or compressed by xz or bzip2."""
    if not kind:
        yield from iter(source.read, b"")
        return
    total = 0
    for piece in _decompressed(source, kind):
        total += len(piece)
        if total > max(_FREE_BYTES, source.total * _RATIO_LIMIT):
            raise InvalidArgument(f"invalid {kind} stream: it expands more than {_RATIO_LIMIT} times")
        yield piece


def _decompressed(source: _Source, kind: str) -> Iterator[bytes]:
    """The streams that `source` holds one after the other, decompressed."""
    data = source.read()
    while data:
        decompressor = _new_decompressor(kind)
        while not decompressor.eof:
            if not data and decompressor.needs_input and not (data := source.read()):
                raise InvalidArgument(f"invalid {kind} stream: cut short")
            try:
                piece = decompressor.decompress(data, CHUNK_BYTES)
            except (lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise InvalidArgument(f"invalid {kind} stream: {error}") from None
            data = b""
            if piece:
                yield piece
        # xz pads between streams with zeros, four by four
        data = decompressor.unused_data.lstrip(b"\0") or source.read().lstrip(b"\0")


def _new_decompressor(kind: str) -> _Decompressor:
    if kind == "bzip2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
