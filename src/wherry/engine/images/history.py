"""How an image came about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.core.snapshots import SnapshotNotFound
from wherry.engine.images.find import find_image, resolve_image
from wherry.engine.images.names import repo_tags
from wherry.engine.images.platforms import platform_from_query
from wherry.engine.times import SECOND_NS, parse_timestamp
from wherry.errors import WherryError
from wherry.oci.image_config import chain_ids

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.images.cache import ResolvedImage

MISSING = "<missing>"


async def image_history(
    engine: Engine, reference: str, *, platform: str | None = None
) -> list[dict[str, Any]]:
    """The steps of an image, the newest first, each with the size of its layer.

    Raises:
        NotFound: no such image, or not for this platform.
    """
    found = find_image(engine, reference)
    image = await resolve_image(engine, found, platform=platform_from_query(platform), name=reference)
    steps = await engine.threads.disk(_steps, engine, image)
    if steps:
        steps[0]["Id"] = str(found.target.digest)
        steps[0]["Tags"] = repo_tags(found) or None
    return steps


def _steps(engine: Engine, image: ResolvedImage) -> list[dict[str, Any]]:
    layers = iter(chain_ids(image.config.diff_ids))
    steps: list[dict[str, Any]] = []
    for entry in image.config.history:
        chain_id = None if entry.get("empty_layer") else next(layers, None)
        steps.append({
            "Comment": str(entry.get("comment", "")),
            "Created": _seconds(str(entry.get("created", ""))),
            "CreatedBy": str(entry.get("created_by", "")),
            "Id": MISSING,
            "Size": 0 if chain_id is None else _layer_size(engine, str(chain_id)),
            "Tags": None,
        })  # fmt: skip
    return steps[::-1]


def _layer_size(engine: Engine, chain_id: str) -> int:
    try:
        return engine.snapshots.usage(chain_id).bytes
    except SnapshotNotFound:
        return 0  # never unpacked here


def _seconds(text: str) -> int:
    try:
        return parse_timestamp(text, now_ns=0) // SECOND_NS if text else 0
    except WherryError:
        return 0
