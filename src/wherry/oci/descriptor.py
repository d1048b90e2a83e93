"""Descriptors: the media type, digest and size by which one piece of content names another.

Spec: image-spec, descriptor.md.
"""

from __future__ import annotations

from wherry.oci.digest import Digest, InvalidDigest
from wherry.oci.documents import (
    InvalidDocument,
    kind_of,
    list_field,
    text_field,
    text_map_field,
)
from wherry.oci.platform import Platform
from wherry.oci.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIZE_LIMIT = 1 << 53
"""Sizes above this do not survive JSON readers that use doubles."""
_KNOWN = ("mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType")


class Descriptor(Value):
    """What content is, by which digest it goes, and how many bytes it has.

    Two descriptors are equal when they name the same content as the same media type.
    """

    __slots__ = (
        "annotations",
        "artifact_type",
        "digest",
        "media_type",
        "platform",
        "size",
        "unknown",
        "urls",
    )

    media_type: str
    digest: Digest
    size: int
    annotations: dict[str, str]
    platform: Platform | None
    urls: tuple[str, ...]
    artifact_type: str
    unknown: dict[str, Any]

    def __init__(
        self,
        media_type: str,
        digest: Digest,
        size: int,
        *,
        annotations: dict[str, str] | None = None,
        platform: Platform | None = None,
        urls: tuple[str, ...] = (),
        artifact_type: str = "",
        unknown: dict[str, Any] | None = None,
    ) -> None:
        self._set(
            media_type=media_type,
            digest=Digest(digest),
            size=size,
            annotations=annotations or {},
            platform=platform,
            urls=urls,
            artifact_type=artifact_type,
            unknown=unknown or {},
        )

    @classmethod
    def from_dict(cls, document: object, what: str = "descriptor") -> Descriptor:
        """The descriptor in a parsed document; fields it does not know are kept.

        Raises:
            InvalidDocument: a missing field, one of a wrong type, or an invalid digest.
        """
        if not isinstance(document, dict):
            raise InvalidDocument(f"invalid {what}: expected an object, found {kind_of(document)}")
        size = document.get("size")
        if type(size) is not int or not 0 <= size <= SIZE_LIMIT:
            raise InvalidDocument(f"invalid {what}: size: expected a whole number of bytes")
        try:
            digest = Digest(text_field(document, "digest", what))
        except InvalidDigest as error:
            raise InvalidDocument(f"invalid {what}: digest: {error}") from None
        urls = list_field(document, "urls", what, limit=64)
        if not all(isinstance(url, str) for url in urls):
            raise InvalidDocument(f"invalid {what}: urls: expected strings")
        platform = document.get("platform")
        return cls(
            text_field(document, "mediaType", what),
            digest,
            size,
            annotations=text_map_field(document, "annotations", what),
            platform=None if platform is None else Platform.from_dict(platform, f"{what}: platform"),
            urls=tuple(urls),
            artifact_type=text_field(document, "artifactType", what, default=""),
            unknown={key: value for key, value in document.items() if key not in _KNOWN},
        )

    def to_dict(self) -> dict[str, Any]:
        """The descriptor as it stands in documents, without its empty fields."""
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.urls:
            document["urls"] = list(self.urls)
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.platform is not None:
            document["platform"] = self.platform.to_dict()
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        return {**document, **self.unknown}

    def with_annotations(self, annotations: dict[str, str]) -> Descriptor:
        """The same descriptor with `annotations` in place of its own."""
        fields = {name: getattr(self, name) for name in self.__slots__} | {"annotations": annotations}
        return Descriptor(fields.pop("media_type"), fields.pop("digest"), fields.pop("size"), **fields)

    def _identity(self) -> tuple[object, ...]:
        return self.media_type, self.digest, self.size
