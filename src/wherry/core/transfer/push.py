"""Push: an image from the store to a registry.

    blobs (five at a time) ─► manifests ─► indexes, each after what it names ─► the tag

An index goes as it is when all it names is here.  After a pull of one platform it is not; then
that platform's manifest is pushed in its place, as Docker does, and the progress says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import IO

import msgspec

from wherry.core.content import ContentNotFound
from wherry.core.images import ImageNotFound
from wherry.core.remotes import Credentials
from wherry.core.remotes.registry import Registry
from wherry.core.transfer.progress import Progress, Reporter, silent
from wherry.core.transfer.pull import SOURCE_LABEL, note_source
from wherry.core.transfer.reading import documents, find_manifest
from wherry.core.transfer.services import TransferServices, run_all
from wherry.diagnostics.faults import fault_point
from wherry.errors import InvalidArgument, NotFound
from wherry.oci.descriptor import Descriptor
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES
from wherry.oci.manifest import Index, Manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

_OUTCOMES = {"exists": "Layer already exists", "pushed": "Pushed"}
_ONLY_ONE = "Not all multiplatform-content is present and only the available single-platform image was pushed"


class TagNotFound(NotFound):
    """There is no local image of this name to push."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(f"tag does not exist: {reference.familiar()}")


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a push sends: blobs in any order, documents in this one, the last under the tag."""

    blobs: tuple[Descriptor, ...]
    layers: frozenset[str]
    documents: tuple[Descriptor, ...]
    is_part: bool


async def push(
    services: TransferServices,
    reference: Reference,
    *,
    platform: Platform | None = None,
    credentials: Credentials | None = None,
    progress: Progress = silent,
) -> Descriptor:
    """Push the image named `reference`; returns what its tag points at in the registry now.

    With `platform` only that platform's manifest is pushed, in place of an index.

    Raises:
        TagNotFound: no such image here.
        PushDenied: the registry does not let this client write.
        PlatformNotFound, ContentNotFound: content is missing.
    """
    if reference.digest is not None:
        raise InvalidArgument("cannot push a digest reference")
    reference = reference.with_default_tag()
    try:
        image = services.images.get(services.tenant, str(reference))
    except ImageNotFound:
        raise TagNotFound(reference) from None
    plan = await services.threads.disk(plan_push, services, image.target, platform)
    registry = Registry(
        reference, credentials=credentials, options=services.registries, threads=services.threads
    )
    async with registry:
        return await _Push(services, registry, reference, Reporter(progress)).run(plan, image.target)


def plan_push(services: TransferServices, target: Descriptor, platform: Platform | None) -> _Plan:
    """Decide what to send: everything under `target`, or one platform of it."""
    if platform is None:
        found = list(documents(services.content, target))
        if _is_complete(services, found):
            return _plan(found, is_part=False)
    chosen = find_manifest(services.content, target, platform)
    descriptor = Descriptor(chosen.descriptor.media_type, chosen.descriptor.digest, chosen.descriptor.size)
    missing = [item for item in chosen.manifest.children if not services.content.exists(item.digest)]
    if missing:
        raise ContentNotFound(missing[0].digest)
    return _plan([(descriptor, chosen.manifest)], is_part=descriptor.digest != target.digest)


def _is_complete(services: TransferServices, found: list[tuple[Descriptor, Manifest | Index]]) -> bool:
    return all(services.content.exists(child.digest) for _, document in found for child in document.children)


def _plan(found: list[tuple[Descriptor, Manifest | Index]], *, is_part: bool) -> _Plan:
    named = {descriptor.digest for descriptor, _ in found}
    blobs = {child.digest: child for child in _children(found) if child.digest not in named}
    layers = {
        layer.digest for _, document in found if isinstance(document, Manifest) for layer in document.layers
    }
    return _Plan(
        blobs=tuple(blobs.values()),
        layers=frozenset(layers),
        documents=tuple(descriptor for descriptor, _ in reversed(found)),  # what is named comes first
        is_part=is_part,
    )


def _children(found: list[tuple[Descriptor, Manifest | Index]]) -> Iterator[Descriptor]:
    for _, document in found:
        yield from document.children


class _Push:
    """One push under way."""

    def __init__(
        self, services: TransferServices, registry: Registry, reference: Reference, reporter: Reporter
    ) -> None:
        self._services = services
        self._content = services.content
        self._disk = services.threads.disk
        self._registry = registry
        self._reference = reference
        self._reporter = reporter
        self._slots = asyncio.Semaphore(services.concurrent_uploads)

    async def run(self, plan: _Plan, target: Descriptor) -> Descriptor:
        for blob in plan.blobs:
            if blob.digest in plan.layers:
                self._reporter.tell(blob.digest.short, "Preparing")
        await run_all(self._blob(blob, is_layer=blob.digest in plan.layers) for blob in plan.blobs)
        fault_point("push.blobs-sent")
        for descriptor in plan.documents:
            await self._document(descriptor, is_last=descriptor is plan.documents[-1])
        fault_point("push.tagged")
        pushed = plan.documents[-1]
        if plan.is_part:
            self._reporter.tell("", f"{_ONLY_ONE}\n{target.digest} -> {pushed.digest}")
        return pushed

    async def _blob(self, blob: Descriptor, *, is_layer: bool) -> None:
        id_ = blob.digest.short
        sources = await self._disk(self._sources, blob)
        async with self._slots:
            count = self._reporter.counter(id_, "Pushing", blob.size) if is_layer else _ignore
            fault_point("push.blob-opened")
            pushed = await self._registry.push_blob(
                blob, lambda: self._open(blob), sources=sources, on_bytes=count
            )
        if is_layer:
            outcome = _OUTCOMES.get(pushed.how) or f"Mounted from {pushed.source}"
            self._reporter.tell(id_, outcome)
        await self._disk(note_source, self._content, blob, self._reference)
        fault_point("push.blob-sent")

    async def _document(self, descriptor: Descriptor, *, is_last: bool) -> None:
        data = await self._disk(self._content.read, descriptor.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
        name = self._reference.tag if is_last and self._reference.tag else str(descriptor.digest)
        await self._registry.push_manifest(name, descriptor.media_type, data, descriptor.digest)
        fault_point("push.manifest-sent")

    def _open(self, blob: Descriptor) -> IO[bytes]:
        return self._content.open(blob.digest)

    def _sources(self, blob: Descriptor) -> tuple[str, ...]:
        """Other repositories of this registry that are known to have the blob."""
        labels = self._content.info(blob.digest).labels
        known = labels.get(SOURCE_LABEL + self._reference.domain, "").split(",")
        return tuple(path for path in known if path and path != self._reference.path)


def _ignore(_sent: int) -> None:
    pass
