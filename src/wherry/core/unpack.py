"""Unpacking: from an image's layers to committed snapshots, named by chain ID.

A chain ID stands for a layer upon all those below it, so a snapshot of that name that is
committed already is the very same file system and is taken as it is.  Of two that unpack the
same chain one works and the other waits.  A process that is killed leaves an active snapshot,
which the next try throws away.

Spec: image-spec, config.md, Layer ChainID.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Literal

from wherry.core.content import ContentStore
from wherry.core.diff import apply
from wherry.core.disk import disk_failures
from wherry.core.leases import HeldLease
from wherry.core.snapshots import SnapshotExists, SnapshotNotFound, Snapshotter
from wherry.diagnostics.faults import fault_point
from wherry.errors import InvalidArgument, Unsupported
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image_config import ImageConfig, chain_ids
from wherry.oci.manifest import Manifest
from wherry.oci.media_types import COMPRESSION

State = Literal["extracting", "complete", "exists"]
Progress = Callable[[Descriptor, State, int], None]
"""Called on the unpacking thread with the layer, what happens to it, and the bytes read of it."""

PROGRESS_BYTES = 1 << 20
_UNFINISHED = "unpack "  # how keys of layers that are being unpacked begin


def unpack_image(
    content: ContentStore,
    snapshots: Snapshotter,
    manifest: Manifest,
    config: ImageConfig,
    progress: Progress | None = None,
    *,
    lease: HeldLease | None = None,
) -> Digest | None:
    """Unpack every layer that is not here yet; returns the chain ID of the whole, None without layers.

    Raises:
        InvalidArgument: manifest and config tell of different numbers of layers.
        ContentNotFound: a layer is missing.
        and what `unpack_layer` raises.
    """
    config.check_layers(manifest)
    return unpack_layers(content, snapshots, manifest.layers, config.diff_ids, progress, lease=lease)


def unpack_layers(
    content: ContentStore,
    snapshots: Snapshotter,
    layers: tuple[Descriptor, ...],
    diff_ids: tuple[Digest, ...],
    progress: Progress | None = None,
    *,
    lease: HeldLease | None = None,
) -> Digest | None:
    """`unpack_image` for layers and diff IDs that belong together, the lowest first."""
    if len(layers) != len(diff_ids):
        raise InvalidArgument(f"the manifest has {len(layers)} layers, the config {len(diff_ids)}")
    parent: Digest | None = None
    for layer, diff_id, chain_id in zip(layers, diff_ids, chain_ids(diff_ids), strict=True):
        unpack_layer(content, snapshots, layer, diff_id, chain_id, parent, progress, lease=lease)
        parent = chain_id
    return parent


def unpack_layer(
    content: ContentStore,
    snapshots: Snapshotter,
    layer: Descriptor,
    diff_id: Digest,
    chain_id: Digest,
    parent: Digest | None,
    progress: Progress | None = None,
    *,
    lease: HeldLease | None = None,
) -> None:
    """Unpack one layer onto the committed chain `parent`; nothing to do when `chain_id` is committed.

    Raises:
        Unsupported: the layer is of a type that is no file system.
        DiffIdMismatch: its bytes are not those that the config names.
        MalformedArchive, ExtractionFailed, DecompressionFailed: it cannot be extracted.
        ResourceExhausted: the disk is full.
    """
    if layer.media_type not in COMPRESSION:
        raise Unsupported(
            f"layer {layer.digest} has media type {layer.media_type!r}, which cannot be unpacked"
        )
    key = f"{_UNFINISHED}{chain_id}"
    if lease is not None:
        lease.add_snapshot(chain_id, key)  # before looking: what is here now must stay
    tell = progress or (lambda _layer, _state, _count: None)
    with _one_at_a_time(snapshots, chain_id):
        if snapshots.exists(chain_id):
            tell(layer, "exists", layer.size)
            return
        with _new_snapshot(snapshots, chain_id, key, parent), content.open(layer.digest) as file:
            source = _Counted(file, lambda count: tell(layer, "extracting", count))
            with disk_failures(f"cannot unpack layer {layer.digest}"):
                apply(snapshots, key, source, compression=COMPRESSION[layer.media_type], diff_id=diff_id)
                fault_point("unpack.applied")
    tell(layer, "complete", layer.size)


def discard_unfinished(snapshots: Snapshotter) -> int:
    """Remove what killed processes have left half unpacked; how many there were.

    Only for who owns the store alone, before anything is unpacked.
    """
    left = [
        each.key for each in snapshots.walk() if each.kind == "active" and each.key.startswith(_UNFINISHED)
    ]
    for key in left:
        _discard(snapshots, key)
    return len(left)


@contextmanager
def _new_snapshot(
    snapshots: Snapshotter, chain_id: Digest, key: str, parent: Digest | None
) -> Iterator[None]:
    """An active snapshot that is committed as `chain_id` when the block ends well, else removed."""
    _discard(snapshots, key)  # what a killed process left
    snapshots.prepare(key, parent)
    try:
        fault_point("unpack.prepared")
        yield
        snapshots.commit(chain_id, key)
    except SnapshotExists:
        _discard(snapshots, key)  # somebody else made the same chain meanwhile
    except BaseException:
        _discard(snapshots, key)
        raise
    fault_point("unpack.committed")


def _discard(snapshots: Snapshotter, key: str) -> None:
    try:
        snapshots.remove(key)
    except SnapshotNotFound:
        pass


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell
        self._count = 0
        self._told = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._count += len(data)
        if self._count - self._told >= PROGRESS_BYTES:
            self._told = self._count
            self._tell(self._count)
        return data


class _Turn:
    """The lock of one chain, and how many hold it or wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


_turns: dict[tuple[int, str], _Turn] = {}
_turns_lock = threading.Lock()


@contextmanager
def _one_at_a_time(snapshots: Snapshotter, chain_id: Digest) -> Iterator[None]:
    name = id(snapshots), str(chain_id)
    with _turns_lock:
        turn = _turns.setdefault(name, _Turn())
        turn.users += 1
    try:
        with turn.lock:
            yield
    finally:
        with _turns_lock:
            turn.users -= 1
            if turn.users == 0:
                del _turns[name]
