"""Import: a tar of a root file system becomes an image of one layer.

    lease ─► layer into the store, both digests in one pass ─► config ─► manifest ─► unpack ─► name

A layer that comes compressed by gzip or zstd is kept as it came; any other is compressed by gzip
on its way in, as a push would want it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import IO, Any

from wherry.core.content import ContentStore
from wherry.core.images import Image
from wherry.core.leases import HeldLease
from wherry.core.transfer.changes import apply_changes
from wherry.core.transfer.intake import describe_bytes, store_bytes
from wherry.core.transfer.layers import Layer, take_layer
from wherry.core.transfer.progress import Progress, Reporter, silent
from wherry.core.transfer.services import TransferServices, dangling_name, held_lease, name_image
from wherry.core.transfer.streams import open_source
from wherry.core.transfer.unpacking import unpack
from wherry.diagnostics.faults import fault_point
from wherry.files import json
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.image_config import ImageConfig
from wherry.oci.manifest import Manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference


async def import_image(
    services: TransferServices,
    source: AsyncIterator[bytes] | IO[bytes],
    *,
    reference: Reference | None = None,
    changes: Iterable[str] = (),
    message: str = "",
    platform: Platform | None = None,
    created_at_ns: int | None = None,
    progress: Progress = silent,
) -> Image:
    """An image whose one layer is the tar in `source`, named `reference` or nothing.

    `changes` are Dockerfile lines for its config.  With `created_at_ns` given, the same input
    makes the same image.

    Raises:
        InvalidArgument: a change that is none, or a source that is no tar.
    """
    process = apply_changes({}, changes)  # before the first byte: a typing error costs no upload
    platform = platform or Platform.host()
    reporter = Reporter(progress)
    async with held_lease(services) as lease:
        layer = await _take(services, lease, source, reporter)
        fault_point("import.layer-stored")
        config = make_config(
            process, layer, message=message, platform=platform, created_at_ns=created_at_ns or time.time_ns()
        )
        target, manifest = await services.threads.disk(_store, services.content, lease, layer, config)
        fault_point("import.manifest-stored")
        await unpack(services, lease, manifest, ImageConfig.parse(config))
        fault_point("import.unpacked")
        name = str(reference.with_default_tag()) if reference else dangling_name(target)
        image = await services.threads.disk(name_image, services, name, target)
        fault_point("import.named")
        return image


async def _take(
    services: TransferServices,
    lease: HeldLease,
    source: AsyncIterator[bytes] | IO[bytes],
    reporter: Reporter,
) -> Layer:
    file, stop = open_source(source)
    taking = asyncio.ensure_future(
        services.threads.transfer(
            take_layer,
            services.content,
            file,
            key=f"import-{lease.id}",
            on_bytes=reporter.counter("", "Importing", None),
        )
    )
    try:
        layer = await asyncio.shield(taking)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([taking])
        if not taking.cancelled():
            taking.exception()
        raise
    await services.threads.disk(lease.add_content, layer.descriptor.digest)
    return layer


def make_config(
    process: dict[str, Any], layer: Layer, *, message: str, platform: Platform, created_at_ns: int
) -> bytes:
    """The image config of an import."""
    created = format_time(created_at_ns)
    document: dict[str, Any] = {
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": created, "comment": message} if message else {"created": created}],
    }
    if platform.variant:
        document["variant"] = platform.variant
    return json.dumps(document).encode()


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC, with nanoseconds, as Go writes it."""
    seconds, fraction = divmod(time_ns, 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return stamp + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def _store(
    content: ContentStore, lease: HeldLease, layer: Layer, config: bytes
) -> tuple[Descriptor, Manifest]:
    """Store config and manifest."""
    config_descriptor = describe_bytes(media_types.OCI_CONFIG, config)
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": config_descriptor.to_dict(),
        "layers": [layer.descriptor.to_dict()],
    }
    data = json.dumps(document).encode()
    target = describe_bytes(media_types.OCI_MANIFEST, data)
    lease.add_content(config_descriptor.digest, target.digest)
    store_bytes(content, config_descriptor, config)
    fault_point("import.config-stored")
    store_bytes(content, target, data)
    return target, Manifest.parse(data, target.media_type)
