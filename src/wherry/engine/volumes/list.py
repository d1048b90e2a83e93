"""Listing volumes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from wherry.api import filters as api_filters
from wherry.engine.labels import labels_match
from wherry.engine.volumes.inspect import volume_to_wire, volume_users
from wherry.engine.volumes.store import DRIVER
from wherry.errors import InvalidArgument

if TYPE_CHECKING:
    from wherry.api.filters import Filters
    from wherry.engine.engine import Engine
    from wherry.engine.records import VolumeRecord

FILTERS = frozenset({"dangling", "driver", "label", "name"})


async def list_volumes(engine: Engine, filters: Filters) -> dict[str, Any]:
    """The volumes that fit `filters`, as `{Volumes, Warnings}`.

    Raises:
        InvalidArgument: an unknown filter or value.
    """
    api_filters.check(filters, FILTERS)
    dangling = api_filters.boolean(filters, "dangling", default=False) if "dangling" in filters else None
    chosen = [volume for volume in engine.volumes if _matches(volume, filters)]
    if dangling is not None:
        chosen = [volume for volume in chosen if bool(volume_users(engine, volume.name)) != dangling]
    return {"Volumes": [volume_to_wire(engine, volume) for volume in chosen], "Warnings": None}


def _matches(volume: VolumeRecord, filters: Filters) -> bool:
    if "driver" in filters and DRIVER not in filters["driver"]:
        return False
    if not labels_match(volume.labels, filters.get("label", [])):
        return False
    return "name" not in filters or any(_name_fits(volume.name, value) for value in filters["name"])


def _name_fits(name: str, pattern: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        raise InvalidArgument(f"invalid filter 'name=[{pattern}]'") from None
