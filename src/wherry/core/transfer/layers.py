"""Taking in a layer of unknown compression: one pass gives the blob and both its digests.

Of gzip and zstd the compressed bytes are the blob, as they came.  Any other tar is compressed by
gzip on its way in, since that is what registries and other engines expect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

import msgspec

from wherry.core.content import ContentStore, Ingest
from wherry.core.transfer.intake import receive
from wherry.diagnostics.faults import fault_point
from wherry.files.decompress import Decompressed, open_compressed
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, new_hasher

CHUNK_BYTES = 1 << 20
_GZIP_LEVEL = 1
_GZIP_WINDOW = 31  # zlib's number for a gzip header and the largest window
_KEPT = {"gzip": media_types.OCI_LAYER_GZIP, "zstd": media_types.OCI_LAYER_ZSTD}


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in the store, and the digest of its tar."""

    descriptor: Descriptor
    diff_id: Digest


def take_layer(content: ContentStore, file: IO[bytes], *, key: str, on_bytes: Callable[[int], None]) -> Layer:
    """Read a tar, compressed or not, from `file` into the content store; blocks.

    Raises:
        DecompressionFailed: damaged, or it expands without bound.
    """
    source = _Recorded(file)
    tar = open_compressed(source)
    with receive(content, key) as ingest:
        if tar.compression in _KEPT:
            diff_id = _keep(source, tar, ingest, on_bytes)
        else:
            source.ignore()
            diff_id = _compress(tar, ingest, on_bytes)
        found = ingest.descriptor
        fault_point("import.layer-received")
    media_type = _KEPT.get(tar.compression, media_types.OCI_LAYER_GZIP)
    return Layer(descriptor=Descriptor(media_type, found.digest, found.size), diff_id=diff_id)


class _Recorded:
    """A stream that hands everything read of it to a sink, which is named after the first bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._head = bytearray()
        self._sink: Callable[[bytes], object] = self._head.extend

    def record(self, sink: Callable[[bytes], object]) -> None:
        """Hand over what was read so far, and from now on everything."""
        sink(bytes(self._head))
        self._sink = sink

    def ignore(self) -> None:
        """Hand over nothing."""
        self._sink = len

    def read(self, size: int = CHUNK_BYTES, /) -> bytes:
        """The next bytes; empty at the end."""
        data = self._file.read(size)
        self._sink(data)
        return data


def _keep(source: _Recorded, tar: Decompressed, ingest: Ingest, on_bytes: Callable[[int], None]) -> Digest:
    """Store the bytes as they come, and hash what they decompress to."""
    source.record(ingest.write)
    hasher = new_hasher()
    while data := tar.read(CHUNK_BYTES):
        hasher.update(data)
        on_bytes(ingest.offset)
    while source.read():
        pass  # what follows the last member belongs to the blob, if not to the tar
    return Digest(f"sha256:{hasher.hexdigest()}")


def _compress(tar: Decompressed, ingest: Ingest, on_bytes: Callable[[int], None]) -> Digest:
    """Store the tar compressed by gzip, and hash the tar."""
    from isal import isal_zlib  # only an import needs it

    hasher = new_hasher()
    compressor = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    while data := tar.read(CHUNK_BYTES):
        hasher.update(data)
        if compressed := compressor.compress(data):
            ingest.write(compressed)
        on_bytes(ingest.offset)
    ingest.write(compressor.flush())
    return Digest(f"sha256:{hasher.hexdigest()}")
