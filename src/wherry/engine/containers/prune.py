"""Removing the containers that do not run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wherry.api import filters as api_filters
from wherry.engine.containers.remove import remove_container
from wherry.engine.labels import labels_match
from wherry.engine.pruning import pruning
from wherry.engine.times import parse_timestamp
from wherry.errors import Conflict, InvalidArgument, NotFound

if TYPE_CHECKING:
    from wherry.api.filters import Filters
    from wherry.engine.engine import Engine

FILTERS = frozenset({"until", "label", "label!"})


async def prune_containers(engine: Engine, filters: Filters) -> dict[str, Any]:
    """Remove stopped and created containers that fit `filters`: `{ContainersDeleted, SpaceReclaimed}`.

    Raises:
        InvalidArgument: an unknown filter or value.
        Conflict: another prune is running.
    """
    api_filters.check(filters, FILTERS)
    until_ns = until_filter(filters)
    removed: list[str] = []
    reclaimed = 0
    with pruning(engine, "containers"):
        for container in engine.containers:
            record = container.record
            fits = labels_match(
                record.config.labels or {}, filters.get("label", []), filters.get("label!", [])
            )
            if container.running or not fits or (until_ns is not None and record.created_at_ns > until_ns):
                continue
            try:
                used = await engine.threads.disk(engine.snapshots.usage, container.id)
                await remove_container(engine, container.id)
            except (Conflict, NotFound):
                continue  # it was started or removed meanwhile
            reclaimed += used.bytes
            removed.append(container.id)
    engine.events.emit("container", "prune", "", {"reclaimed": str(reclaimed)})
    return {"ContainersDeleted": removed, "SpaceReclaimed": reclaimed}


def until_filter(filters: Filters) -> int | None:
    """The instant of the filter `until`, if it is given.

    Raises:
        InvalidArgument: more than one value, or not a time.
    """
    values = filters.get("until", [])
    if len(values) > 1:
        raise InvalidArgument("more than one until filter specified")
    return parse_timestamp(values[0], now_ns=time.time_ns()) if values else None
