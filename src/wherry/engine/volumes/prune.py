"""Removing the volumes that nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.api import filters as api_filters
from wherry.engine.labels import labels_match
from wherry.engine.pruning import pruning
from wherry.engine.volumes.inspect import volume_users
from wherry.engine.volumes.remove import discard_volume
from wherry.files.trees import tree_usage

if TYPE_CHECKING:
    from pathlib import Path

    from wherry.api.filters import Filters
    from wherry.engine.engine import Engine

FILTERS = frozenset({"label", "label!", "all"})


async def prune_volumes(
    engine: Engine, filters: Filters, *, version: tuple[int, int] = (1, 56)
) -> dict[str, Any]:
    """Remove unused anonymous volumes; with `all`, and below API 1.42, named ones too.

    Raises:
        InvalidArgument: an unknown filter or value.
        Conflict: another prune is running.
    """
    api_filters.check(filters, FILTERS)
    everything = api_filters.boolean(filters, "all", default=version < (1, 42))
    removed: list[str] = []
    reclaimed = 0
    with pruning(engine, "volumes"):
        for volume in engine.volumes:
            wanted = labels_match(volume.labels, filters.get("label", []), filters.get("label!", []))
            if not wanted or not (everything or volume.anonymous) or volume_users(engine, volume.name):
                continue
            used = await engine.threads.disk(_used_bytes, engine.volumes.data(volume.name))
            if not volume_users(engine, volume.name):  # one may have come meanwhile
                await discard_volume(engine, volume.name)
                removed.append(volume.name)
                reclaimed += used
    engine.events.emit("volume", "prune", "", {"reclaimed": str(reclaimed)})
    return {"VolumesDeleted": removed, "SpaceReclaimed": reclaimed}


def _used_bytes(data: Path) -> int:
    """What would come free; nothing where somebody has removed the directory by hand.  Blocks."""
    try:
        return tree_usage(data)[0]
    except FileNotFoundError:
        return 0
