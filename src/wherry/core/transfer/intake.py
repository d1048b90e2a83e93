"""Taking blobs into the content store: the one way in that all transfers use."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from wherry.core.content import ContentStore, Ingest, IngestBusy
from wherry.errors import ResourceExhausted
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of

_BUSY_TRIES = 500
_BUSY_INTERVAL_S = 0.02


@contextmanager
def receive(content: ContentStore, key: str, promised: Descriptor | None = None) -> Iterator[Ingest]:
    """An ingest for the length of the block, which does not keep a full disk full.

    Anything else that breaks it off leaves what has come, for the next try to go on from.
    """
    with content.ingest(key, promised) as ingest:
        try:
            yield ingest
        except ResourceExhausted:
            ingest.restart()
            raise


def ingest_key(descriptor: Descriptor) -> str:
    """The key under which a blob comes in: any two transfers of it share one."""
    return f"blob-{descriptor.digest}"


def store_bytes(content: ContentStore, descriptor: Descriptor, data: bytes) -> None:
    """Store a small blob in one go, dropping what an interrupted try left; blocks."""
    for _ in range(_BUSY_TRIES):
        try:
            with receive(content, ingest_key(descriptor), descriptor) as ingest:
                if ingest.offset:
                    ingest.restart()
                ingest.write(data)
            return
        except IngestBusy:  # another transfer stores the same, which takes it a moment
            time.sleep(_BUSY_INTERVAL_S)
            if content.exists(descriptor.digest):
                return
    raise IngestBusy(ingest_key(descriptor))


def describe_bytes(media_type: str, data: bytes) -> Descriptor:
    """The descriptor of `data`."""
    return Descriptor(media_type, digest_of(data), len(data))
