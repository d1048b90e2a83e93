"""Removing volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.diagnostics.faults import fault_point
from wherry.engine.volumes.inspect import volume_users
from wherry.engine.volumes.store import DRIVER, VolumeInUse

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def remove_volume(engine: Engine, name: str, *, force: bool = False) -> None:
    """Remove a volume and what is in it; with `force` one that is not here is no failure.

    Raises:
        NotFound: no such volume.
        Conflict: a container mounts it.
    """
    if force and engine.volumes.find(name) is None:
        return
    engine.volumes.get(name)
    users = volume_users(engine, name)
    if users:
        raise VolumeInUse(name, users)
    await discard_volume(engine, name)


async def discard_volume(engine: Engine, name: str) -> None:
    """Delete the record, then the directory: a crash between leaves a stray, which restore removes."""
    await engine.volumes.delete(name)
    fault_point("volumes.record-deleted")
    await engine.threads.disk(engine.volumes.discard, name)
    engine.events.emit("volume", "destroy", name, {"driver": DRIVER})
