"""What a spooled archive holds: its images, their names, and the documents still to be stored.

A docker-archive has no manifests, so they are made: the same archive always gives the same bytes,
and so the same image id.  Of an OCI layout everything is there already.  Where both are (as
`docker save` writes), the layout counts, and manifest.json only lends names.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wherry.core.content import ContentNotFound, ContentStore
from wherry.core.transfer.archive import MANIFEST_FILE, InvalidArchive, Spooled, sniff_compression
from wherry.core.transfer.reading import documents
from wherry.errors import Unsupported
from wherry.files import json
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES, kind_of, list_field, parse_value, text_field
from wherry.oci.image_config import ImageConfig
from wherry.oci.layout import IMAGE_NAME, INDEX_FILE, LAYOUT_FILE, REF_NAME, check_layout
from wherry.oci.manifest import Index, Manifest
from wherry.oci.reference import Reference, parse_normalized

ITEM_LIMIT = 1000
_LAYER_TYPES = {
    "": media_types.DOCKER_LAYER,
    "gzip": media_types.DOCKER_LAYER_GZIP,
    "zstd": media_types.DOCKER_LAYER_ZSTD,
}


class ArchiveImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image of an archive; `document` is its manifest, where it is still to be stored."""

    target: Descriptor
    names: tuple[Reference, ...]
    document: bytes | None = None


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of manifest.json."""

    config: Descriptor
    names: tuple[Reference, ...]
    layers: tuple[Descriptor, ...]


def plan_archive(content: ContentStore, spooled: Spooled) -> list[ArchiveImage]:
    """The images of an archive, each once, in its order.

    Raises:
        InvalidArchive: no images, or blobs missing.
        InvalidDocument, InvalidReference: a malformed document or name.
    """
    items = _items(spooled)
    if LAYOUT_FILE in spooled.documents and INDEX_FILE in spooled.documents:
        images = _layout_images(content, spooled, items)
    elif items:
        images = [_docker_image(content, item) for item in items]
    else:
        raise InvalidArchive(f"invalid archive: does not contain a {MANIFEST_FILE}")
    if not images:
        raise InvalidArchive("invalid archive: it holds no image")
    return _merge(images)


def _merge(images: list[ArchiveImage]) -> list[ArchiveImage]:
    """One entry for each target, with all its names."""
    merged: dict[str, ArchiveImage] = {}
    for image in images:
        known = merged.get(image.target.digest, image)
        names = tuple(dict.fromkeys([*known.names, *image.names]))
        merged[image.target.digest] = msgspec.structs.replace(known, names=names)
    return list(merged.values())


def _items(spooled: Spooled) -> list[_Item]:
    data = spooled.documents.get(MANIFEST_FILE)
    if data is None:
        return []
    value = parse_value(data, MANIFEST_FILE)
    if not isinstance(value, list) or len(value) > ITEM_LIMIT:
        raise InvalidArchive(f"invalid {MANIFEST_FILE}: expected an array of at most {ITEM_LIMIT} images")
    return [_item(entry, spooled) for entry in value]


def _item(entry: Any, spooled: Spooled) -> _Item:
    if not isinstance(entry, dict):
        raise InvalidArchive(f"invalid {MANIFEST_FILE}: expected an object, found {kind_of(entry)}")
    layers = list_field(entry, "Layers", MANIFEST_FILE, limit=ITEM_LIMIT)
    tags = list_field(entry, "RepoTags", MANIFEST_FILE, limit=ITEM_LIMIT)
    if not all(isinstance(item, str) for item in [*layers, *tags]):
        raise InvalidArchive(f"invalid {MANIFEST_FILE}: Layers and RepoTags: expected strings")
    return _Item(
        config=spooled.find(text_field(entry, "Config", MANIFEST_FILE)),
        names=tuple(_name(tag) for tag in tags),
        layers=tuple(spooled.find(layer) for layer in layers),
    )


def _name(text: str) -> Reference:
    reference = parse_normalized(text)
    if reference.digest is not None:
        raise InvalidArchive(f"invalid archive: refused the name {text!r}: it holds a digest")
    return reference


def _docker_image(content: ContentStore, item: _Item) -> ArchiveImage:
    """The image of one entry, with the manifest that the format lacks."""
    config = ImageConfig.parse(content.read(item.config.digest, limit_bytes=DOCUMENT_LIMIT_BYTES))
    if config.platform.os not in ("", "linux"):
        raise Unsupported(f"cannot load {config.platform.os} image on linux")
    expected, found = len(config.diff_ids), len(item.layers)
    if expected != found:
        raise InvalidArchive(f"invalid manifest, layers length mismatch: expected {expected}, got {found}")
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST,
        "config": Descriptor(media_types.DOCKER_CONFIG, item.config.digest, item.config.size).to_dict(),
        "layers": [_layer(content, layer).to_dict() for layer in item.layers],
    }
    data = json.dumps(document).encode()
    target = Descriptor(media_types.DOCKER_MANIFEST, digest_of(data), len(data))
    return ArchiveImage(target=target, names=item.names, document=data)


def _layer(content: ContentStore, layer: Descriptor) -> Descriptor:
    with content.open(layer.digest) as blob:
        compression = sniff_compression(blob)
    return Descriptor(_LAYER_TYPES[compression], layer.digest, layer.size)


def _layout_images(content: ContentStore, spooled: Spooled, items: list[_Item]) -> list[ArchiveImage]:
    check_layout(spooled.documents[LAYOUT_FILE])
    index = Index.parse(spooled.documents[INDEX_FILE])
    lent = {item.config.digest: item.names for item in items}
    images = []
    for descriptor in index.images():
        target = Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)
        found = _check_present(content, spooled, target)
        if not any(manifest.is_image for manifest in found):
            continue
        named = _annotated_name(descriptor)
        names = (named,) if named else tuple(n for m in found for n in lent.get(m.config.digest, ()))
        images.append(ArchiveImage(target=target, names=names))
    return images


def _annotated_name(descriptor: Descriptor) -> Reference | None:
    """The image's name by its annotations; a bare tag, as the specification has it, names nothing."""
    full = descriptor.annotations.get(IMAGE_NAME)
    if full:
        return _name(full)
    name = descriptor.annotations.get(REF_NAME, "")
    return _name(name) if "/" in name or ":" in name else None


def _check_present(content: ContentStore, spooled: Spooled, target: Descriptor) -> list[Manifest]:
    """The manifests under `target`, after a check that the archive itself brought what they need.

    Other platforms' manifests may be missing, but not parts of one that is here; and what only the
    store has does not count, since whoever sent the archive may not have it.
    """
    digests = spooled.digests
    if target.digest not in digests:
        raise InvalidArchive(f"invalid archive: manifest {target.digest} is missing")
    manifests = []
    for descriptor, document in documents(content, target):
        if not isinstance(document, Manifest) or descriptor.digest not in digests:
            continue
        missing = [child.digest for child in document.children if child.digest not in digests]
        if not missing:
            manifests.append(document)
        elif len(missing) < len(document.children) or descriptor.digest == target.digest:
            raise InvalidArchive(f"invalid archive: blob {missing[0]} is missing")
        _check_sizes(content, document)
    if not manifests:
        raise ContentNotFound(target.digest)
    return manifests


def _check_sizes(content: ContentStore, manifest: Manifest) -> None:
    for child in manifest.children:
        if content.exists(child.digest) and content.info(child.digest).size != child.size:
            raise InvalidArchive(f"invalid archive: blob {child.digest}: expected {child.size} bytes")
