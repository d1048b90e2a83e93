"""Unpacking for transfers: each layer as soon as it is here, on the transfer pool."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from wherry.core.leases import HeldLease
from wherry.core.transfer.progress import Reporter
from wherry.core.transfer.services import TransferServices
from wherry.core.unpack import State, unpack_layer
from wherry.errors import Unavailable
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.image_config import ImageConfig, chain_ids
from wherry.oci.manifest import Manifest


class UnpackCancelled(Unavailable):
    """The transfer was cancelled while a layer was unpacked."""

    def __init__(self) -> None:
        super().__init__("unpacking cancelled")


async def unpack(
    services: TransferServices,
    lease: HeldLease,
    manifest: Manifest,
    config: ImageConfig,
    reporter: Reporter | None = None,
    *,
    arrival: Callable[[Descriptor], Awaitable[object]] | None = None,
) -> None:
    """Unpack the layers of an image, the lowest first; each after its `arrival`.

    A cancelled one ends within a mebibyte, and leaves no half-made snapshot.

    Raises:
        DiffIdMismatch: a layer is not what the config says, and others of `unpack_layer`.
    """
    config.check_layers(manifest)
    parent: Digest | None = None
    chain = chain_ids(config.diff_ids)
    for layer, diff_id, chain_id in zip(manifest.layers, config.diff_ids, chain, strict=True):
        if arrival is not None:
            await arrival(layer)
        await _unpack_one(services, lease, layer, (diff_id, chain_id, parent), reporter)
        parent = chain_id


async def is_unpacked(services: TransferServices, lease: HeldLease, config: ImageConfig) -> bool:
    """Whether the whole chain of an image is committed; if it is, the lease keeps it."""
    chain = chain_ids(config.diff_ids)
    if not chain:
        return True
    await services.threads.disk(lease.add_snapshot, chain[-1])
    return await services.threads.disk(services.snapshots.exists, chain[-1])


async def _unpack_one(
    services: TransferServices,
    lease: HeldLease,
    layer: Descriptor,
    ids: tuple[Digest, Digest, Digest | None],
    reporter: Reporter | None,
) -> None:
    cancelled = threading.Event()
    count = reporter.counter(layer.digest.short, "Extracting", layer.size) if reporter else None

    def progress(_layer: Descriptor, state: State, current: int) -> None:
        if cancelled.is_set():
            raise UnpackCancelled
        if state == "extracting" and count is not None:
            count(current)

    call = asyncio.ensure_future(
        services.threads.transfer(
            unpack_layer, services.content, services.snapshots, layer, *ids, progress, lease=lease
        )
    )
    try:
        await asyncio.shield(call)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([call])
        if not call.cancelled():
            call.exception()
        raise
    if reporter is not None:
        reporter.tell(layer.digest.short, "Pull complete")
