"""What a transfer works with, and the lease it works under."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from wherry.core.content import ContentStore
from wherry.core.images import Image, ImageNotFound, ImageStore
from wherry.core.leases import HeldLease, LeaseNotFound, Leases
from wherry.core.metadata import Metadata
from wherry.core.remotes import RegistryOptions
from wherry.core.snapshots import Snapshotter
from wherry.core.threads import Threads
from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.errors import WherryError
from wherry.oci.descriptor import Descriptor

DANGLING = "moby-dangling@"
"""Prefix of the names that keep images without a name: Docker's word, so that clients know it."""


class TransferServices(msgspec.Struct, frozen=True, kw_only=True):
    """The stores that transfers fill and read, on behalf of one tenant."""

    content: ContentStore
    snapshots: Snapshotter
    images: ImageStore
    leases: Leases
    threads: Threads
    metadata: Metadata
    tenant: str = "moby"
    registries: RegistryOptions = RegistryOptions()
    concurrent_downloads: int = 3
    concurrent_uploads: int = 5


@asynccontextmanager
async def held_lease(services: TransferServices) -> AsyncIterator[HeldLease]:
    """A lease for the length of the block, without a thread of its own."""
    lease = await services.threads.disk(services.leases.create, services.tenant)
    try:
        yield HeldLease(services.leases, lease)
    finally:
        await asyncio.shield(services.threads.disk(_give_back, services.leases, services.tenant, lease.id))


def _give_back(leases: Leases, tenant: str, lease_id: str) -> None:
    try:
        leases.delete(tenant, lease_id)
    except LeaseNotFound:
        pass  # it expired meanwhile
    except WherryError as error:
        log("warning", "cannot give back a lease; it will expire", lease=lease_id, error=error)


async def run_all(coroutines: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run them at once; when one fails the others are cancelled and its failure is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = failures.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def dangling_name(target: Descriptor) -> str:
    """The name that keeps `target` when no other does."""
    return f"{DANGLING}{target.digest}"


def name_image(services: TransferServices, name: str, target: Descriptor) -> Image:
    """Point `name` at `target`.

    What the name pointed to keeps a dangling name, given first, so that no moment comes in which
    garbage collection could take it.
    """
    try:
        old = services.images.get(services.tenant, name)
    except ImageNotFound:
        old = None
    if old is not None and old.target == target:
        return old
    if old is not None and not name.startswith(DANGLING):
        others = services.images.list(services.tenant, digest=old.target.digest)
        if all(image.name == name for image in others):
            kept = Image(name=dangling_name(old.target), target=old.target, labels=old.labels)
            services.images.put(services.tenant, kept)
    fault_point("images.dangling-named")
    labels = old.labels if old else {}
    image = services.images.put(services.tenant, Image(name=name, target=target, labels=labels))
    if name != dangling_name(target):
        _drop_name(services, dangling_name(target))  # it has a real one now
    return image


def _drop_name(services: TransferServices, name: str) -> None:
    try:
        services.images.delete(services.tenant, name)
    except ImageNotFound:
        pass
