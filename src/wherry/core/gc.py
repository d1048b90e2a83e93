"""Garbage collection: what nothing refers to, and has not for a while, goes.

Roots are the images, the leases, and what others tell (`add_roots`: the snapshots and images
of containers, the cache of a builder).  From a manifest or an index the marking follows
descriptors; from an image config it follows diff IDs to the snapshots of its chain; from a
snapshot, its parents.

A pull that finds a blob here takes a lease on it first, then looks.  So each removal asks once
more, in the transaction that carries it out, whether a lease has come, or an image whose
content was not marked.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from wherry.core.content import ContentNotFound
from wherry.core.content.local import LocalContent, ingest_name
from wherry.core.images import ImageStore
from wherry.core.leases import Leases, Resource, is_leased
from wherry.core.snapshots import SnapshotInUse, SnapshotNotFound, Snapshotter
from wherry.diagnostics.logs import log
from wherry.errors import WherryError
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES
from wherry.oci.image_config import ImageConfig, chain_ids
from wherry.oci.manifest import parse_manifest
from wherry.oci.media_types import CONFIGS, INDEXES, MANIFESTS

GRACE_S = 3600.0
Roots = Callable[[], Iterable[Resource]]


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection removed."""

    content: list[Digest]
    content_bytes: int
    snapshots: list[str]
    snapshot_bytes: int
    remains: int
    """Partial files and directories without a record."""


class Collector:
    """The collector of one data root; one collection at a time, on a disk thread."""

    def __init__(
        self,
        content: LocalContent,
        snapshots: Sequence[Snapshotter],
        images: ImageStore,
        leases: Leases,
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        self._content = content
        self._snapshots = snapshots
        self._images = images
        self._leases = leases
        self._grace_s = grace_s
        self._roots: list[Roots] = []

    def add_roots(self, roots: Roots) -> None:
        """Keep what `roots` tells at each collection."""
        self._roots.append(roots)

    def collect(self, *, grace_s: float | None = None) -> Collected:
        """Remove what nothing refers to.

        With `grace_s` young content and committed snapshots go too, such as those of an image
        that was just removed; active snapshots always keep the collector's own grace time,
        because a container is recorded after its snapshot.
        """
        started_ns = time.time_ns()
        self._leases.expire(started_ns)
        marked = self.mark()
        old_ns = started_ns - int(self._grace_s * 1e9)
        young_ns = old_ns if grace_s is None else started_ns - int(grace_s * 1e9)
        content, content_bytes = self._sweep_content(marked, young_ns, started_ns)
        snapshots, snapshot_bytes = self._sweep_snapshots(marked, young_ns, old_ns, started_ns)
        ingests = {ingest_name(resource.id) for resource in marked if resource.kind == "ingest"}
        remains = self._content.sweep(older_than_ns=old_ns, keep=lambda name: name in ingests)
        remains += sum(snapshotter.cleanup() for snapshotter in self._snapshots)
        return Collected(
            content=content,
            content_bytes=content_bytes,
            snapshots=snapshots,
            snapshot_bytes=snapshot_bytes,
            remains=remains,
        )

    def mark(self) -> set[Resource]:
        """Everything that something refers to."""
        # Leases first: one that is given back after this was read has left its image behind.
        marked = set(self._leases.resources())
        targets = [image.target for image in self._images.list()]
        for roots in self._roots:
            marked |= set(roots())
        for resource in list(marked):
            if resource.kind == "content":
                targets += self._described(resource.id)
        self._mark_content(targets, marked)
        self._mark_parents(marked)
        return marked

    def _described(self, digest: str) -> list[Descriptor]:
        try:
            return [self._content.info(Digest(digest)).descriptor]
        except ContentNotFound:
            return []  # still to come

    def _mark_content(self, targets: list[Descriptor], marked: set[Resource]) -> None:
        seen: set[Digest] = set()
        while targets:
            target = targets.pop()
            if target.digest in seen:
                continue
            seen.add(target.digest)
            marked.add(Resource("content", target.digest))
            try:
                targets += self._follow(target, marked)
            except ContentNotFound:
                continue  # another platform's, or still to come
            except WherryError as error:
                # Kept as it is, with nothing below: a damaged manifest must not stop the collection.
                log("warning", "cannot follow content", digest=target.digest, error=error)

    def _follow(self, target: Descriptor, marked: set[Resource]) -> tuple[Descriptor, ...]:
        """What a document refers to; the chain of a config is marked as snapshots."""
        if target.media_type in MANIFESTS or target.media_type in INDEXES:
            data = self._content.read(target.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
            return parse_manifest(data, target.media_type).children
        if target.media_type in CONFIGS:
            data = self._content.read(target.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
            chain = chain_ids(ImageConfig.parse(data).diff_ids)
            marked |= {Resource("snapshot", chain_id) for chain_id in chain}
        return ()

    def _mark_parents(self, marked: set[Resource]) -> None:
        for snapshotter in self._snapshots:
            # Children stand behind their parents in the walk, so going backwards marks whole chains.
            for snapshot in reversed(list(snapshotter.walk())):
                if snapshot.parent is not None and Resource("snapshot", snapshot.key) in marked:
                    marked.add(Resource("snapshot", snapshot.parent))

    def _sweep_content(
        self, marked: set[Resource], young_ns: int, started_ns: int
    ) -> tuple[list[Digest], int]:
        removed: list[Digest] = []
        freed = 0
        for info in self._content.list():
            resource = Resource("content", info.digest)
            if resource in marked or info.created_at_ns >= young_ns:
                continue
            try:
                if self._content.delete(info.digest, unless=_is_wanted_again(resource, started_ns)):
                    removed.append(info.digest)
                    freed += info.size
            except ContentNotFound:
                continue
        return removed, freed

    def _sweep_snapshots(
        self, marked: set[Resource], young_ns: int, old_ns: int, started_ns: int
    ) -> tuple[list[str], int]:
        removed: list[str] = []
        freed = 0
        for snapshotter in self._snapshots:
            for snapshot in reversed(list(snapshotter.walk())):
                resource = Resource("snapshot", snapshot.key)
                limit_ns = young_ns if snapshot.kind == "committed" else old_ns
                if resource in marked or snapshot.updated_at_ns >= limit_ns:
                    continue
                try:
                    size = snapshotter.usage(snapshot.key).bytes
                    if snapshotter.remove(snapshot.key, unless=_is_wanted_again(resource, started_ns)):
                        removed.append(snapshot.key)
                        freed += size
                except (SnapshotInUse, SnapshotNotFound):
                    continue
        return removed, freed


def _is_wanted_again(resource: Resource, since_ns: int) -> Callable[[sqlite3.Connection], bool]:
    """Whether, since the marking, a lease came or any name was pointed elsewhere."""

    def ask(connection: sqlite3.Connection) -> bool:
        if is_leased(connection, resource.kind, resource.id):
            return True
        query = "SELECT 1 FROM images WHERE updated_at_ns >= ? LIMIT 1"
        return connection.execute(query, (since_ns,)).fetchone() is not None

    return ask
