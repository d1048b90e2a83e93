"""Image manifests and indexes, of OCI and of Docker's schema 2.

`parse_manifest` reads either.  What a document is must be the same to every reader: the media
type of the descriptor or header and the one in the body must agree, a document that could be
both (CVE-2021-41190) is refused, and so are keys that differ only in case.

Spec: image-spec, manifest.md and image-index.md; Docker Image Manifest V2, Schema 2.
"""

from __future__ import annotations

from wherry.errors import Unsupported
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.documents import (
    InvalidDocument,
    list_field,
    parse_object,
    refuse_case_variants,
    text_field,
    text_map_field,
)
from wherry.oci.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.oci.platform import Platform

LAYERS_LIMIT = 1000
INDEX_LIMIT = 1000
ATTESTATION = "vnd.docker.reference.type"
SCHEMA1_REMOVED = (
    "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. "
    "Suggest the author of {name} to upgrade the image to the OCI Format or Docker Image manifest v2, "
    "schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/"
)
_KNOWN = frozenset((
    "schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject",
    "artifactType", "fsLayers",
))  # fmt: skip


class Schema1Removed(Unsupported):
    """A manifest of schema 1, which carries no digests of its layers' contents."""

    def __init__(self, name: str = "the image") -> None:
        super().__init__(SCHEMA1_REMOVED.format(name=name))


class Manifest(Value):
    """An image of one platform, or an artifact: a config and layers."""

    __slots__ = ("annotations", "artifact_type", "config", "layers", "media_type", "subject")

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str]
    subject: Descriptor | None
    artifact_type: str

    def __init__(self, media_type: str, document: dict[str, Any]) -> None:
        if document.get("manifests") is not None:
            raise InvalidDocument("invalid manifest: it holds both layers and manifests")
        layers = list_field(document, "layers", "manifest", limit=LAYERS_LIMIT)
        self._set(
            media_type=media_type,
            config=Descriptor.from_dict(document.get("config"), "manifest: config"),
            layers=tuple(
                Descriptor.from_dict(layer, f"manifest: layers[{i}]") for i, layer in enumerate(layers)
            ),
            annotations=text_map_field(document, "annotations", "manifest"),
            subject=_subject(document, "manifest"),
            artifact_type=text_field(document, "artifactType", "manifest", default=""),
        )

    @classmethod
    def parse(cls, data: bytes, media_type: str = "") -> Manifest:
        """The manifest in `data`; of `media_type`, where that is known.

        Raises:
            InvalidDocument: malformed, ambiguous, or an index.
            Schema1Removed: schema 1.
        """
        document = parse_manifest(data, media_type)
        if not isinstance(document, Manifest):
            raise InvalidDocument(f"invalid manifest: {document.media_type} where an image was expected")
        return document

    @property
    def is_image(self) -> bool:
        """Whether its config is an image config, so that it can run."""
        return self.config.media_type in media_types.CONFIGS

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """Everything it refers to, config first; not its subject, which is a weak reference."""
        return (self.config, *self.layers)


class Index(Value):
    """Several manifests, most often one image for each platform."""

    __slots__ = ("annotations", "artifact_type", "manifests", "media_type", "subject")

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str]
    subject: Descriptor | None
    artifact_type: str

    def __init__(self, media_type: str, document: dict[str, Any]) -> None:
        if document.get("config") is not None or document.get("layers") is not None:
            raise InvalidDocument("invalid index: it holds both layers and manifests")
        manifests = list_field(document, "manifests", "index", limit=INDEX_LIMIT)
        self._set(
            media_type=media_type,
            manifests=tuple(
                Descriptor.from_dict(item, f"index: manifests[{i}]") for i, item in enumerate(manifests)
            ),
            annotations=text_map_field(document, "annotations", "index"),
            subject=_subject(document, "index"),
            artifact_type=text_field(document, "artifactType", "index", default=""),
        )

    @classmethod
    def parse(cls, data: bytes, media_type: str = "") -> Index:
        """The index in `data`; otherwise as `Manifest.parse`."""
        document = parse_manifest(data, media_type)
        if not isinstance(document, Index):
            raise InvalidDocument(f"invalid index: {document.media_type} where an index was expected")
        return document

    def images(self) -> tuple[Descriptor, ...]:
        """The manifests that can be images: not attestations, not other artifacts."""
        known = media_types.MANIFESTS | media_types.INDEXES
        return tuple(item for item in self.manifests if item.media_type in known and not is_attestation(item))

    def choose(self, platform: Platform) -> Descriptor | None:
        """The manifest that fits `platform` best, or None.

        One without a platform is taken only when nothing that names a platform fits.
        """
        named = [(item.platform, item) for item in self.images() if item.platform is not None]
        chosen = platform.choose(named)
        return chosen or next((item for item in self.images() if item.platform is None), None)

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """Everything it refers to."""
        return self.manifests


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """The manifest or index in `data`.

    `media_type` is what a descriptor or a header promised; empty where nothing did.

    Raises:
        InvalidDocument: malformed, ambiguous, or of another type than promised.
        Schema1Removed: schema 1.
        Unsupported: a media type that is neither a manifest nor an index.
    """
    if media_type in media_types.SCHEMA1:
        raise Schema1Removed
    document = parse_object(data, "manifest")
    refuse_case_variants(document, _KNOWN, "manifest")
    version = document.get("schemaVersion")
    if version == 1 and type(version) is int:
        raise Schema1Removed
    if version != 2 or type(version) is not int:
        raise InvalidDocument("invalid manifest: schemaVersion: expected 2")
    found = _media_type_of(document, media_type)
    return Index(found, document) if found in media_types.INDEXES else Manifest(found, document)


def _media_type_of(document: dict[str, Any], promised: str) -> str:
    """The media type on which promise, body and shape agree."""
    stated = text_field(document, "mediaType", "manifest", default="")
    if promised and stated and stated != promised:
        raise InvalidDocument(f"invalid manifest: mediaType: expected {promised}, found {stated}")
    found = stated or promised
    if not found:  # OCI 1.0 left the field out; then the shape decides, and both shapes is an error
        found = media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST
    if found not in media_types.INDEXES | media_types.MANIFESTS:
        raise Unsupported(f"unsupported manifest media type {found}")
    if not stated and found in (media_types.DOCKER_MANIFEST, media_types.DOCKER_MANIFEST_LIST):
        raise InvalidDocument(f"invalid manifest: mediaType: expected {found}, found nothing")
    return found


def _subject(document: dict[str, Any], what: str) -> Descriptor | None:
    subject = document.get("subject")
    return None if subject is None else Descriptor.from_dict(subject, f"{what}: subject")


def is_attestation(descriptor: Descriptor) -> bool:
    """Whether a descriptor in an index is build tools' provenance or bill of materials, not an image."""
    unknown = descriptor.platform is not None and descriptor.platform.is_unknown
    return unknown or ATTESTATION in descriptor.annotations
