"""Names and sizes of images as the API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.core.transfer.services import DANGLING
from wherry.engine.images.find import FoundImage, is_dangling
from wherry.oci.reference import Reference

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.images.cache import ResolvedImage

__all__ = ["DANGLING", "emit_image", "repo_digests", "repo_tags", "unpacked_size"]


def repo_tags(found: FoundImage) -> list[str]:
    """The `name:tag`s of an image, familiar form."""
    return [reference.familiar() for reference in found.references if reference.tag is not None]


def repo_digests(found: FoundImage) -> list[str]:
    """`name@digest` for each repository the image is named in."""
    names: dict[str, None] = {}
    for reference in found.references:
        names[f"{reference.familiar_name}@{found.target.digest}"] = None
    return list(names)


def familiar(name: str) -> str:
    """A stored name as Docker shows it."""
    return name if is_dangling(name) else Reference.parse(name).familiar()


def unpacked_size(engine: Engine, image: ResolvedImage) -> int:
    """The bytes of the unpacked layers; 0 for an image that is not unpacked.  Reads the metadata."""
    total = 0
    key: str | None = image.chain_id or None
    while key is not None and engine.snapshots.exists(key):
        total += engine.snapshots.usage(key).bytes
        key = engine.snapshots.stat(key).parent
    return total


def emit_image(
    engine: Engine, action: str, image_id: str, name: str, labels: dict[str, str] | None = None
) -> None:
    """Send an image's event."""
    engine.events.emit("image", action, image_id, {**(labels or {}), "name": name})
