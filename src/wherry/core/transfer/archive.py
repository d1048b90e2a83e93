"""Archives of images, read: each file goes into the content store as it comes by.

    docker-archive   manifest.json, and the configs and layers that it names (by any path; the old
                     form has ID/layer.tar, with links between equal layers)
    OCI layout       oci-layout, index.json, blobs/<alg>/<hex>

Entries may come in any order, so what a file is becomes clear only at the end.  Memory stays
bounded: a blob streams into an ingest, and only the documents at the root are kept as bytes.
Nothing is written by a path from the archive.
"""

from __future__ import annotations

import posixpath
from typing import IO, TYPE_CHECKING

import msgspec

from wherry.core.content import ContentMismatch, ContentStore
from wherry.core.leases import HeldLease
from wherry.core.transfer.intake import receive
from wherry.core.transfer.progress import Reporter
from wherry.diagnostics.faults import fault_point
from wherry.errors import InvalidArgument
from wherry.files.tar.entry import DIRECTORY, HARD_LINK, REGULAR, SYMLINK, Entry, Limits
from wherry.files.tar.reader import TarReader
from wherry.oci.descriptor import Descriptor
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES
from wherry.oci.layout import INDEX_FILE, LAYOUT_FILE, blob_digest

if TYPE_CHECKING:
    from wherry.files.tar.reader import Readable

MANIFEST_FILE = "manifest.json"
_DOCUMENTS = frozenset((MANIFEST_FILE, INDEX_FILE, LAYOUT_FILE, "repositories"))
_LEGACY = frozenset(("VERSION", "json"))
LINK_LIMIT = 16
_LIMITS = Limits(entries=100_000, path_bytes=1024, extended_header_bytes=64 << 10, sparse_segments=0)


class InvalidArchive(InvalidArgument):
    """The archive holds no images, or contradicts itself."""


class Spooled(msgspec.Struct, kw_only=True):
    """What was in an archive."""

    documents: dict[str, bytes] = {}
    files: dict[str, Descriptor] = {}
    """Path to blob; the media types are not known."""
    links: dict[str, str] = {}

    def find(self, path: str) -> Descriptor:
        """The blob at `path`, through links.

        Raises:
            InvalidArchive: nothing is there, or links go in a circle.
        """
        where = normal_path(path)
        for _ in range(LINK_LIMIT):
            if where in self.files:
                return self.files[where]
            if where not in self.links:
                raise InvalidArchive(f"invalid archive: {path} is missing")
            where = self.links[where]
        raise InvalidArchive(f"invalid archive: {path} is a link that leads nowhere")

    @property
    def digests(self) -> set[str]:
        """The digests of all its blobs."""
        return {descriptor.digest for descriptor in self.files.values()}


class Spooler:
    """Moves the files of an archive into the content store."""

    def __init__(self, content: ContentStore, lease: HeldLease, reporter: Reporter) -> None:
        self._content = content
        self._lease = lease
        self._reporter = reporter
        self._spooled = Spooled()

    def run(self, stream: Readable) -> Spooled:
        """Read the whole archive; blocks.

        Raises:
            InvalidArchive: hostile, cut short, or no archive.
            ContentMismatch: a blob that is not what its name says.
        """
        reader = TarReader(stream, _LIMITS)
        for entry in reader:
            if entry.kind != DIRECTORY:
                self._take(entry, normal_path(_text(entry.name)), reader)
        fault_point("load.spooled")
        return self._spooled

    def _take(self, entry: Entry, path: str, reader: TarReader) -> None:
        spooled = self._spooled
        if path in spooled.files or path in spooled.documents or path in spooled.links:
            raise InvalidArchive(f"invalid archive: {path} is there twice")
        if entry.kind == HARD_LINK:
            spooled.links[path] = normal_path(_text(entry.link))
        elif entry.kind == SYMLINK:
            spooled.links[path] = _beside(path, _text(entry.link))
        elif entry.kind != REGULAR or entry.sparse is not None:
            raise InvalidArchive(f"invalid archive: {path} is no plain file")
        elif path in _DOCUMENTS:
            spooled.documents[path] = _read_all(entry, path, reader)
        elif posixpath.basename(path) not in _LEGACY:
            spooled.files[path] = self._ingest(entry, path, reader)

    def _ingest(self, entry: Entry, path: str, reader: TarReader) -> Descriptor:
        digest = blob_digest(path)
        promised = None if digest is None else Descriptor("", digest, entry.size)
        if promised is not None:
            self._lease.add_content(promised.digest)
            if (
                self._content.exists(promised.digest)
                and self._content.info(promised.digest).size == entry.size
            ):
                _verify(reader, promised)  # whoever loads it must have the bytes, not just their name
                return promised
        # A key of its own: an archive cannot be resumed, and cannot wait for a pull of the same blob.
        key = f"archive-{self._lease.id}-{len(self._spooled.files)}"
        count = self._reporter.counter(digest.short if digest else path[:12], "Loading layer", entry.size)
        with receive(self._content, key, promised) as ingest:
            for piece in reader.data():
                ingest.write(piece)
                count(ingest.offset)
                fault_point("load.blob-received")
            found = ingest.descriptor
        self._lease.add_content(found.digest)
        fault_point("load.blob-stored")
        return Descriptor("", found.digest, found.size)


def normal_path(path: str) -> str:
    """`path` without `./` and doubled slashes.

    Raises:
        InvalidArchive: it is absolute, empty or leads out of the archive.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not parts:
        raise InvalidArchive(f"invalid archive: refused the path {path[:200]!r}")
    return "/".join(parts)


def _beside(path: str, target: str) -> str:
    """Where a symbolic link at `path` leads, within the archive."""
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return normal_path(joined)


def _verify(reader: TarReader, promised: Descriptor) -> None:
    hasher = promised.digest.hasher()
    for piece in reader.data():
        hasher.update(piece)
    if hasher.hexdigest() != promised.digest.hex:
        raise ContentMismatch(f"content {promised.digest}: the archive holds other bytes under this name")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise InvalidArchive(f"invalid archive: refused the path {name[:200]!r}") from None


def _read_all(entry: Entry, path: str, reader: TarReader) -> bytes:
    if entry.size > DOCUMENT_LIMIT_BYTES:
        raise InvalidArchive(f"invalid archive: {path}: {entry.size} bytes, more than {DOCUMENT_LIMIT_BYTES}")
    return b"".join(bytes(piece) for piece in reader.data())


def sniff_compression(stream: IO[bytes]) -> str:
    """`gzip`, `zstd` or the empty string, by the first bytes."""
    magic = stream.read(4)
    if magic[:3] == b"\x1f\x8b\x08":
        return "gzip"
    return "zstd" if magic == b"\x28\xb5\x2f\xfd" else ""
