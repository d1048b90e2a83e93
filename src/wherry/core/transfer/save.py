"""Save: images as one archive that Docker, podman, skopeo and wherry read.

    blobs/<alg>/<hex>   every blob, each once
    index.json          OCI: each image, with its name as an annotation
    manifest.json       Docker: config, names and layers of each image, by the paths above
    oci-layout
    repositories        Docker before 1.10

Deterministic: the same images give the same bytes.

Spec: image-spec, image-layout.md; `docker save`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import IO, Any

import msgspec

from wherry.core.content import ContentStore
from wherry.core.images import Image, ImageNotFound
from wherry.core.transfer.archive import MANIFEST_FILE
from wherry.core.transfer.reading import PlatformNotFound, documents, find_manifest
from wherry.core.transfer.services import DANGLING, TransferServices, held_lease
from wherry.core.transfer.streams import PieceWriter, stream_from_thread
from wherry.diagnostics.faults import fault_point
from wherry.files import json
from wherry.files.tar.entry import DIRECTORY, Entry
from wherry.files.tar.writer import TarWriter
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.layout import (
    IMAGE_NAME,
    INDEX_FILE,
    LAYOUT_DOCUMENT,
    LAYOUT_FILE,
    REF_NAME,
    blob_path,
)
from wherry.oci.manifest import Manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference

_CHUNK_BYTES = 1 << 20


class SavedImage(msgspec.Struct, frozen=True, kw_only=True):
    """What to save: a target, under a name or none."""

    target: Descriptor
    name: Reference | None = None


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The archive before it is written."""

    blobs: tuple[Descriptor, ...]
    documents: tuple[tuple[str, bytes], ...]


async def save(
    services: TransferServices,
    images: Iterable[SavedImage | Reference],
    *,
    platform: Platform | None = None,
) -> AsyncIterator[bytes]:
    """The archive of `images`, piece by piece; a name saves the image it has in the store.

    What is missing of an index (platforms that were never pulled) is left out.  With `platform`,
    only that platform's manifest is saved, in place of an index.

    Raises:
        ImageNotFound, PlatformNotFound: before the first piece.
    """
    wanted = [_look_up(services, item) if isinstance(item, Reference) else item for item in images]
    async with held_lease(services) as lease:
        await services.threads.disk(lease.add_content, *(item.target.digest for item in wanted))
        plan = await services.threads.disk(plan_save, services.content, wanted, platform)
        await services.threads.disk(lease.add_content, *(blob.digest for blob in plan.blobs))
        fault_point("save.planned")
        pieces = stream_from_thread(services.threads, lambda writer: _write(services.content, plan, writer))
        async for piece in pieces:
            yield piece


def _look_up(services: TransferServices, reference: Reference) -> SavedImage:
    reference = reference.with_default_tag()
    try:
        image: Image = services.images.get(services.tenant, str(reference))
    except ImageNotFound:
        raise ImageNotFound(reference.familiar()) from None
    has_name = reference.tag is not None and not image.name.startswith(DANGLING)
    return SavedImage(target=image.target, name=reference if has_name else None)


def plan_save(content: ContentStore, images: list[SavedImage], platform: Platform | None) -> _Plan:
    """Which blobs go into the archive, and the documents that name them."""
    blobs: dict[str, Descriptor] = {}
    entries: list[dict[str, Any]] = []
    items: dict[str, dict[str, Any]] = {}
    repositories: dict[str, dict[str, str]] = {}
    for image in images:
        target = _narrowed(content, image.target, platform)
        for blob in _blobs(content, target):
            blobs.setdefault(blob.digest, blob)
        entries.append(_index_entry(target, image.name))
        manifest = find_manifest(content, target).manifest
        item = items.setdefault(manifest.config.digest, _item(manifest))
        if image.name is not None:
            item["RepoTags"] = list(dict.fromkeys([*item["RepoTags"], image.name.familiar()]))
            if manifest.layers and image.name.tag:
                tags = repositories.setdefault(image.name.familiar_name, {})
                tags[image.name.tag] = manifest.layers[-1].digest.hex
    index = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries}
    written = [
        (INDEX_FILE, json.dumps(index).encode()),
        (MANIFEST_FILE, json.dumps([_settled(item) for item in items.values()]).encode()),
        (LAYOUT_FILE, LAYOUT_DOCUMENT),
    ]
    if repositories:
        written.append(("repositories", json.dumps(repositories).encode()))
    return _Plan(
        blobs=tuple(sorted(blobs.values(), key=lambda blob: blob_path(blob.digest))),
        documents=tuple(written),
    )


def _narrowed(content: ContentStore, target: Descriptor, platform: Platform | None) -> Descriptor:
    if platform is None:
        return target
    found = find_manifest(content, target, platform).descriptor
    return Descriptor(found.media_type, found.digest, found.size)


def _blobs(content: ContentStore, target: Descriptor) -> list[Descriptor]:
    """Everything under `target` that is here; a manifest goes with all its parts or not at all."""
    kept: list[Descriptor] = []
    has_image = False
    for descriptor, document in documents(content, target):
        children = document.children if isinstance(document, Manifest) else ()
        if all(content.exists(child.digest) for child in children):
            kept += [descriptor, *children]
            has_image = has_image or isinstance(document, Manifest)
    if not has_image:
        raise PlatformNotFound(f"image {target.digest}: its content is not here")
    return kept


def _index_entry(target: Descriptor, name: Reference | None) -> dict[str, Any]:
    annotations = {}
    if name is not None:
        annotations = {IMAGE_NAME: str(name), REF_NAME: name.tag or ""}
    return target.with_annotations(annotations).to_dict()


def _item(manifest: Manifest) -> dict[str, Any]:
    return {
        "Config": blob_path(manifest.config.digest),
        "RepoTags": [],
        "Layers": [blob_path(layer.digest) for layer in manifest.layers],
    }


def _settled(item: dict[str, Any]) -> dict[str, Any]:
    """As Docker writes it: null where there is no name."""
    return {**item, "RepoTags": item["RepoTags"] or None}


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_CHUNK_BYTES):
        yield piece


def _write(content: ContentStore, plan: _Plan, out: PieceWriter) -> None:
    """Write the archive; on a thread."""
    writer = TarWriter(out)
    directories = ["blobs/", *sorted({f"blobs/{blob.digest.algorithm}/" for blob in plan.blobs})]
    for directory in directories:
        writer.add(Entry(directory.encode(), DIRECTORY, mode=0o755))
    for blob in plan.blobs:
        with content.open(blob.digest) as file:
            writer.add(
                Entry(blob_path(blob.digest).encode(), size=blob.size),
                _pieces(file),
            )
        fault_point("save.blob-written")
    for path, data in plan.documents:
        writer.add(Entry(path.encode(), size=len(data)), [data])
    writer.close()
