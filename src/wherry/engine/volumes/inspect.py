"""Looking at a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engine.times import rfc3339
from wherry.engine.volumes.store import DRIVER

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.records import VolumeRecord


async def inspect_volume(engine: Engine, name: str) -> dict[str, Any]:
    """The volume of that name.

    Raises:
        NotFound: none.
    """
    return volume_to_wire(engine, engine.volumes.get(name))


def volume_to_wire(engine: Engine, volume: VolumeRecord) -> dict[str, Any]:
    """`volume` as the API shows it."""
    return {
        "CreatedAt": rfc3339(volume.created_at_ns // 1_000_000_000 * 1_000_000_000),
        "Driver": DRIVER,
        "Labels": volume.labels or None,
        "Mountpoint": str(engine.volumes.data(volume.name)),
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": "local",
    }


def volume_users(engine: Engine, name: str) -> list[str]:
    """The ids of the containers that mount the volume, running or not, or are about to."""
    users = [
        container.id
        for container in engine.containers
        if any(mount.type == "volume" and mount.name == name for mount in container.record.mounts)
    ]
    return users + [claimant for claimant, names in engine.volumes.claims.items() if name in names]
