"""Taking blobs into the content store: the one way in that all transfers use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wherry.core.content import ContentStore, Ingest
from wherry.errors import ResourceExhausted
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of


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
    """Store a small blob in one go, dropping what an interrupted try left."""
    with receive(content, ingest_key(descriptor), descriptor) as ingest:
        if ingest.offset:
            ingest.restart()
        ingest.write(data)


def describe_bytes(media_type: str, data: bytes) -> Descriptor:
    """The descriptor of `data`."""
    return Descriptor(media_type, digest_of(data), len(data))
