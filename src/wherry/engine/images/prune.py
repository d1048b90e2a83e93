"""Removing images that nothing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.api import filters as api_filters
from wherry.engine.containers.prune import until_filter
from wherry.engine.images.list import ListedImage, all_images, image_users
from wherry.engine.images.remove import remove_image
from wherry.engine.labels import labels_match
from wherry.engine.pruning import pruning
from wherry.errors import Conflict, NotFound

if TYPE_CHECKING:
    from wherry.api.filters import Filters
    from wherry.engine.engine import Engine

FILTERS = frozenset({"dangling", "until", "label", "label!"})


async def prune_images(engine: Engine, filters: Filters) -> dict[str, Any]:
    """Remove images without a name; with `dangling=false` every one that no container uses.

    Raises:
        InvalidArgument: an unknown filter or value.
        Conflict: another prune is running.
    """
    api_filters.check(filters, FILTERS)
    only_dangling = api_filters.boolean(filters, "dangling", default=True)
    until_ns = until_filter(filters)
    deleted: list[dict[str, Any]] = []
    reclaimed = 0
    with pruning(engine, "images"):
        for image in await engine.threads.disk(all_images, engine):
            if not _wanted(engine, image, filters, only_dangling=only_dangling, until_ns=until_ns):
                continue
            try:
                deleted += await remove_image(engine, str(image.found.target.digest), force=True)
            except (Conflict, NotFound):
                continue  # a container or another removal was quicker
            reclaimed += image.size
    return {"ImagesDeleted": deleted or None, "SpaceReclaimed": reclaimed}


def _wanted(
    engine: Engine, image: ListedImage, filters: Filters, *, only_dangling: bool, until_ns: int | None
) -> bool:
    if only_dangling and image.found.references:
        return False
    if image_users(engine, str(image.found.target.digest)):
        return False
    if until_ns is not None and image.created_ns > until_ns:
        return False
    return labels_match(image.labels, filters.get("label", []), filters.get("label!", []))
