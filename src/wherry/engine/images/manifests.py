"""The manifests behind an image's target, one for each platform, as the API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engine.images.cache import DOCUMENT_LIMIT_BYTES
from wherry.oci import media_types
from wherry.oci.manifest import Index, Manifest

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.oci.descriptor import Descriptor

_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"


def manifests_to_wire(engine: Engine, target: Descriptor) -> list[dict[str, Any]]:
    """Every manifest of `target`, those whose content is not here included.  Blocks."""
    if target.media_type not in media_types.INDEXES:
        return [_manifest(engine, target)]
    index = Index.parse(
        engine.content.read(target.digest, limit_bytes=DOCUMENT_LIMIT_BYTES), target.media_type
    )
    return [_manifest(engine, child) for child in index.manifests]


def _manifest(engine: Engine, descriptor: Descriptor) -> dict[str, Any]:
    attestation = descriptor.annotations.get(_REFERENCE_TYPE) == "attestation-manifest"
    available, content_size = _size(engine, descriptor)
    wire: dict[str, Any] = {
        "ID": str(descriptor.digest),
        "Descriptor": descriptor.to_dict(),
        "Available": available,
        "Size": {"Content": content_size, "Total": content_size},
        "Kind": "attestation" if attestation else "image",
    }
    if attestation:
        wire["AttestationData"] = {"For": descriptor.annotations.get(_REFERENCE_DIGEST, "")}
        return wire
    digest = str(descriptor.digest)
    users = [c.id for c in engine.containers if c.record.manifest.get("digest") == digest]
    platform = descriptor.platform.to_dict() if descriptor.platform else {}
    wire["ImageData"] = {"Platform": platform, "Containers": users, "Size": {"Unpacked": 0}}
    return wire


def _size(engine: Engine, descriptor: Descriptor) -> tuple[bool, int]:
    """Whether everything of a manifest is here, and how many bytes of it are."""
    if not engine.content.exists(descriptor.digest):
        return False, 0
    data = engine.content.read(descriptor.digest, limit_bytes=DOCUMENT_LIMIT_BYTES)
    manifest = Manifest.parse(data, descriptor.media_type)
    present = [child for child in manifest.children if engine.content.exists(child.digest)]
    return len(present) == len(manifest.children), descriptor.size + sum(child.size for child in present)
