"""Content: immutable bytes, named by digest.

A blob comes in through `ingest`, can then be opened by digest as often as one likes, and
goes when garbage collection finds nothing that refers to it.  It never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from sqlite3 import Connection
from typing import IO, Protocol

import msgspec

from wherry.errors import DataLoss, NotFound, Unavailable
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest


class ContentNotFound(NotFound):
    """No blob has this digest."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"content {digest} not found")
        self.digest = digest


class ContentMismatch(DataLoss):
    """The bytes are not those that were promised."""


class IngestBusy(Unavailable):
    """Another block holds the key of this ingest."""

    def __init__(self, key: str) -> None:
        super().__init__(f"ingest {key!r} is in progress")
        self.key = key


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded about a blob."""

    digest: Digest
    size: int
    media_type: str
    created_at_ns: int
    labels: Mapping[str, str]

    @property
    def descriptor(self) -> Descriptor:
        """The blob as a descriptor of the media type under which it came in."""
        return Descriptor(self.media_type, self.digest, self.size)


class Ingest(Protocol):
    """A blob that is coming in."""

    @property
    def offset(self) -> int:
        """The number of bytes that are here."""

    @property
    def descriptor(self) -> Descriptor:
        """What the bytes so far are."""

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`.

        Raises:
            ContentMismatch: more bytes than promised.
            ResourceExhausted: the disk is full.
        """

    def restart(self) -> None:
        """Drop the bytes that are here, where the source cannot go on from the offset."""


class ContentStore(Protocol):
    """Where blobs are kept."""

    def ingest(self, key: str, promised: Descriptor | None = None) -> AbstractContextManager[Ingest]:
        """Take in one blob: it appears when the block ends well, and otherwise never.

        `key` names the ingest.  An interrupted one stays, with its offset, and the next
        block of that key goes on from there; garbage collection removes it after the grace
        time.  Without `promised` any bytes are welcome and `Ingest.descriptor` tells what
        they were.  Ingesting a blob that is already here is not an error.

        Raises:
            ContentMismatch: at the end of the block, for a wrong digest or size; then
                nothing of the ingest stays.
            IngestBusy: another block holds the key.

        Spec: image-spec, descriptor.md, Verification.
        """

    def open(self, digest: Digest) -> IO[bytes]:
        """Open a blob for reading; the caller closes it.

        Raises:
            ContentNotFound: no such blob, or one that is still coming in.
        """

    def read(self, digest: Digest, *, limit_bytes: int) -> bytes:
        """The bytes of a small blob, such as a manifest, checked against its digest.

        Raises:
            ContentNotFound: no such blob.
            ContentMismatch: the disk returned other bytes.
            InvalidArgument: it is larger than the limit.
        """

    def path(self, digest: Digest) -> Path:
        """Where the blob is, to read only.

        Raises:
            ContentNotFound: no such blob.
        """

    def exists(self, digest: Digest) -> bool:
        """Whether the blob is here."""

    def info(self, digest: Digest) -> Info:
        """What is recorded about a blob.

        Raises:
            ContentNotFound: no such blob.
        """

    def list(self) -> Iterator[Info]:
        """Every blob, in the order of digests."""

    def update_labels(self, digest: Digest, labels: Mapping[str, str | None]) -> Info:
        """Set labels, or remove those whose value is None.

        Raises:
            ContentNotFound: no such blob.
        """

    def delete(self, digest: Digest, *, unless: Callable[[Connection], bool] | None = None) -> bool:
        """Remove a blob; whoever has it open reads on.  True when it went.

        `unless` is asked in the transaction that removes the record, so that a lease taken
        at the last moment still counts.

        Raises:
            ContentNotFound: no such blob.
        """
