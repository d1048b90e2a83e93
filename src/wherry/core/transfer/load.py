"""Load: the images of an archive, unpacked and named.

    lease ─► spool every file ─► plan the images ─► unpack each ─► name each

The archive may be compressed and is read once, from any stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import IO

import msgspec

from wherry.core.images import Image
from wherry.core.leases import HeldLease
from wherry.core.transfer.archive import Spooled, Spooler
from wherry.core.transfer.archive_plan import ArchiveImage, plan_archive
from wherry.core.transfer.intake import store_bytes
from wherry.core.transfer.progress import Progress, Reporter, silent
from wherry.core.transfer.pull import check_layer
from wherry.core.transfer.reading import find_manifest, read_config
from wherry.core.transfer.services import TransferServices, dangling_name, held_lease, name_image
from wherry.core.transfer.streams import open_source
from wherry.core.transfer.unpacking import unpack
from wherry.diagnostics.faults import fault_point
from wherry.files.decompress import open_compressed
from wherry.oci.platform import Platform


class LoadedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that a load made; `name` is as Docker shows it, or None for one without a name."""

    name: str | None
    image: Image


async def load(
    services: TransferServices,
    source: AsyncIterator[bytes] | IO[bytes],
    *,
    platform: Platform | None = None,
    progress: Progress = silent,
) -> list[LoadedImage]:
    """Load every image of the archive in `source`: one result for each name.

    Raises:
        InvalidArchive: it holds no images, or is hostile or cut short.
        DataLoss: a blob or a layer that is not what the archive says.
        PlatformNotFound: an image has nothing for `platform`.
    """
    reporter = Reporter(progress)
    async with held_lease(services) as lease:
        fault_point("load.leased")
        spooled = await _spool(services, lease, source, reporter)
        images = await services.threads.disk(_plan, services, lease, spooled)
        fault_point("load.planned")
        loaded: list[LoadedImage] = []
        for image in images:
            await _unpack(services, lease, image, platform)
            fault_point("load.unpacked")
            loaded += await services.threads.disk(_name, services, image)
            fault_point("load.named")
        return loaded


async def _spool(
    services: TransferServices,
    lease: HeldLease,
    source: AsyncIterator[bytes] | IO[bytes],
    reporter: Reporter,
) -> Spooled:
    file, stop = open_source(source)

    def read() -> Spooled:
        return Spooler(services.content, lease, reporter).run(open_compressed(file))

    reading = asyncio.ensure_future(services.threads.transfer(read))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()
        raise


def _plan(services: TransferServices, lease: HeldLease, spooled: Spooled) -> list[ArchiveImage]:
    """Decide what the images are, and store the manifests that had to be made."""
    images = plan_archive(services.content, spooled)
    for image in images:
        if image.document is not None:
            lease.add_content(image.target.digest)
            store_bytes(services.content, image.target, image.document)
        fault_point("load.manifest-stored")
    return images


async def _unpack(
    services: TransferServices,
    lease: HeldLease,
    image: ArchiveImage,
    platform: Platform | None,
) -> None:
    found = await services.threads.disk(find_manifest, services.content, image.target, platform)
    for layer in found.manifest.layers:
        check_layer(layer)
    config = await services.threads.disk(read_config, services.content, found.manifest)
    await unpack(services, lease, found.manifest, config)


def _name(services: TransferServices, image: ArchiveImage) -> list[LoadedImage]:
    if not image.names:
        named = name_image(services, dangling_name(image.target), image.target)
        return [LoadedImage(name=None, image=named)]
    return [
        LoadedImage(name=name.familiar(), image=name_image(services, str(name), image.target))
        for name in image.names
    ]
