"""Reading images from the content store: which manifest, which config, which blobs.

An index may name more than is here: a pull fetches one platform.  So content that is missing is
a fact to report, not a failure, wherever something else can serve.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from wherry.core.content import ContentMismatch, ContentNotFound, ContentStore
from wherry.errors import NotFound, Unsupported
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES, InvalidDocument
from wherry.oci.image_config import ImageConfig
from wherry.oci.manifest import Index, Manifest, parse_manifest
from wherry.oci.platform import Platform

INDEX_DEPTH = 8
NODE_LIMIT = 1000


class PlatformNotFound(NotFound):
    """The image has no manifest for the platform, or its content is not here."""


class FoundManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest, the descriptor that names it, and its index descriptor's platform if any."""

    descriptor: Descriptor
    manifest: Manifest


def read_document(content: ContentStore, descriptor: Descriptor) -> Manifest | Index:
    """The manifest or index that `descriptor` names.

    Raises:
        ContentNotFound: it is not here.
        InvalidDocument: it is not what the descriptor says.
    """
    data = content.read(descriptor.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
    if len(data) != descriptor.size:
        raise ContentMismatch(
            f"content {descriptor.digest}: expected {descriptor.size} bytes, found {len(data)}"
        )
    return parse_manifest(data, descriptor.media_type)


def read_config(content: ContentStore, manifest: Manifest) -> ImageConfig:
    """The image config of `manifest`, checked against its layers.

    Raises:
        Unsupported: the manifest is not an image's.
        ContentNotFound, InvalidDocument: as for manifests.
    """
    if not manifest.is_image:
        raise Unsupported(f"unsupported image config media type {manifest.config.media_type}")
    config = ImageConfig.parse(content.read(manifest.config.digest, limit_bytes=DOCUMENT_LIMIT_BYTES))
    config.check_layers(manifest)
    return config


def find_manifest(
    content: ContentStore, target: Descriptor, platform: Platform | None = None
) -> FoundManifest:
    """The manifest of `target` for `platform`; by default for this machine, or else the first here.

    Raises:
        PlatformNotFound: none is for that platform, or none is here.
        ContentNotFound: the target itself is not here.
    """
    found = list(present_manifests(content, target))
    if len(found) == 1 and target.media_type not in media_types.INDEXES and platform is None:
        return found[0]
    candidates = [(_platform_of(content, item), item) for item in found]
    chosen = (platform or Platform.host()).choose(candidates)
    if chosen is None and platform is None and found:
        return found[0]
    if chosen is None:
        raise PlatformNotFound(_explain(target, platform, [item for item, _ in candidates]))
    return chosen


def read_image(
    content: ContentStore, target: Descriptor, platform: Platform | None = None
) -> tuple[Manifest, ImageConfig]:
    """Manifest and config of an image; fails as `find_manifest` and `read_config`."""
    manifest = find_manifest(content, target, platform).manifest
    return manifest, read_config(content, manifest)


def present_manifests(content: ContentStore, target: Descriptor) -> Iterator[FoundManifest]:
    """The image manifests under `target` that are here, attestations left out.

    Raises:
        ContentNotFound: the target itself is not here.
    """
    for descriptor, document in documents(content, target):
        if isinstance(document, Manifest) and document.is_image:
            yield FoundManifest(descriptor=descriptor, manifest=document)


def documents(content: ContentStore, target: Descriptor) -> Iterator[tuple[Descriptor, Manifest | Index]]:
    """Every manifest and index from `target` on that is here, each once, parents first.

    Visits are bounded: an index of indexes may name the same one over and over (R16).

    Raises:
        ContentNotFound: the target itself is not here.
        InvalidDocument: nested too deeply, or too many of them.
    """
    seen = {target.digest}
    level = [target]
    for depth in range(INDEX_DEPTH + 1):
        following: list[Descriptor] = []
        for descriptor in level:
            try:
                document = read_document(content, descriptor)
            except ContentNotFound:
                if depth == 0:
                    raise
                continue
            yield descriptor, document
            if isinstance(document, Index):
                new = {child.digest: child for child in document.manifests if _is_document(child)}
                following += [child for digest, child in new.items() if digest not in seen]
                seen.update(new)
        if len(seen) > NODE_LIMIT:
            raise InvalidDocument(f"invalid index: more than {NODE_LIMIT} manifests")
        if not following:
            return
        level = following
    raise InvalidDocument(f"invalid index: nested more than {INDEX_DEPTH} deep")


def _is_document(descriptor: Descriptor) -> bool:
    return descriptor.media_type in media_types.INDEXES | media_types.MANIFESTS


def _platform_of(content: ContentStore, found: FoundManifest) -> Platform:
    """The platform that the index states, or else the config."""
    if found.descriptor.platform is not None:
        return found.descriptor.platform
    try:
        return read_config(content, found.manifest).platform
    except (ContentNotFound, InvalidDocument):
        return Platform("unknown", "unknown")


def _explain(target: Descriptor, platform: Platform | None, found: list[Platform]) -> str:
    wanted = platform or Platform.host()
    if not found:
        return f"image {target.digest}: no content for platform {wanted}"
    here = ", ".join(str(item) for item in found)
    return (
        f"image {target.digest} was found but does not match the specified platform: "
        f"wanted {wanted}, found {here}"
    )
