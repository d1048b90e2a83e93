"""Image configs: how an image runs, what its layers unpack to, and how it came about.

Spec: image-spec, config.md; Docker adds OnBuild, Shell and Healthcheck to `config`.
"""

from __future__ import annotations

from wherry.oci.digest import Digest, InvalidDigest, digest_of
from wherry.oci.documents import (
    InvalidDocument,
    kind_of,
    list_field,
    object_field,
    parse_object,
    text_field,
)
from wherry.oci.manifest import LAYERS_LIMIT
from wherry.oci.platform import Platform
from wherry.oci.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.oci.manifest import Manifest

HISTORY_LIMIT = 10_000
WHAT = "image config"
_TEXTS = ("User", "WorkingDir", "StopSignal")
_LISTS = ("Env", "Entrypoint", "Cmd", "OnBuild", "Shell")
_OBJECTS = ("ExposedPorts", "Volumes", "Labels", "Healthcheck")


class ImageConfig(Value):
    """A checked image config; `document` is the whole of it, and is not to be changed."""

    __slots__ = ("diff_ids", "document", "platform")

    platform: Platform
    diff_ids: tuple[Digest, ...]
    document: dict[str, Any]

    def __init__(self, document: dict[str, Any]) -> None:
        if document.get("rootfs") is None:
            raise InvalidDocument("invalid image config: no rootfs")
        rootfs = object_field(document, "rootfs", WHAT)
        if text_field(rootfs, "type", WHAT, default="layers") != "layers":
            raise InvalidDocument("invalid image config: rootfs.type: expected layers")
        _check_process(object_field(document, "config", WHAT))
        for entry in list_field(document, "history", WHAT, limit=HISTORY_LIMIT):
            if not isinstance(entry, dict):
                raise InvalidDocument(f"invalid image config: history: found {kind_of(entry)}")
        self._set(document=document, diff_ids=_diff_ids(rootfs), platform=Platform.from_dict(document, WHAT))

    @classmethod
    def parse(cls, data: bytes) -> ImageConfig:
        """The image config in `data`.

        Raises:
            InvalidDocument: malformed, ambiguous, or with a field of a wrong type.
        """
        return cls(parse_object(data, WHAT))

    @property
    def process(self) -> dict[str, Any]:
        """The `config` object: Env, Cmd, Entrypoint, User, ... under the specification's names."""
        return object_field(self.document, "config", WHAT)

    @property
    def history(self) -> list[dict[str, Any]]:
        """How the image came about, oldest first."""
        return list_field(self.document, "history", WHAT, limit=HISTORY_LIMIT)

    @property
    def created(self) -> str:
        """When it was made, RFC 3339, or the empty string."""
        return text_field(self.document, "created", WHAT, default="")

    @property
    def author(self) -> str:
        """Who made it, or the empty string."""
        return text_field(self.document, "author", WHAT, default="")

    def check_layers(self, manifest: Manifest) -> None:
        """Refuse a manifest with another number of layers than this config unpacks to.

        Raises:
            InvalidDocument: with both numbers.
        """
        expected, found = len(self.diff_ids), len(manifest.layers)
        if expected != found:
            raise InvalidDocument(
                f"invalid manifest, layers length mismatch: expected {expected}, got {found}"
            )

    def _identity(self) -> tuple[object, ...]:
        return self.platform, self.diff_ids, repr(self.document)


def chain_ids(diff_ids: tuple[Digest, ...]) -> list[Digest]:
    """The name of the file system after each layer.

    Spec: image-spec, config.md, Layer ChainID.
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def _diff_ids(rootfs: dict[str, Any]) -> tuple[Digest, ...]:
    diff_ids = list_field(rootfs, "diff_ids", WHAT, limit=LAYERS_LIMIT)
    if not all(isinstance(diff_id, str) for diff_id in diff_ids):
        raise InvalidDocument("invalid image config: rootfs.diff_ids: expected strings")
    try:
        return tuple(Digest(diff_id) for diff_id in diff_ids)
    except InvalidDigest as error:
        raise InvalidDocument(f"invalid image config: rootfs.diff_ids: {error}") from None


def _check_process(process: dict[str, Any]) -> None:
    """Refuse wrong types here, so that nobody who reads the config later has to."""
    for key in _TEXTS:
        text_field(process, key, WHAT, default="")
    for key in _LISTS:
        if not all(isinstance(item, str) for item in list_field(process, key, WHAT, limit=100_000)):
            raise InvalidDocument(f"invalid image config: {key}: expected strings")
    for key in _OBJECTS:
        object_field(process, key, WHAT)
    labels = object_field(process, "Labels", WHAT)
    if not all(isinstance(value, str) for value in labels.values()):
        raise InvalidDocument("invalid image config: Labels: expected strings")
