"""Volumes and binds around a start: making what is missing, first contents, events."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wherry.diagnostics.faults import fault_point
from wherry.engine.merged_copy import copy_merged
from wherry.engine.rootfs import LayeredRoot
from wherry.errors import InvalidArgument
from wherry.files.trees import DIRECTORY, empty_directory

if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.records import ContainerRecord, MountPoint

_FILLING = "filling"


def prepare_sources(record: ContainerRecord) -> None:
    """Make the host directories of `-v` binds that are missing; refuse other missing sources.  Blocks.

    Raises:
        InvalidArgument: a bind's source has gone since the container was created.
    """
    for point in record.mounts:
        if point.type == "tmpfs" or os.path.lexists(point.source):
            continue
        if point.type == "volume" or point.create_source:
            os.makedirs(point.source, mode=0o755, exist_ok=True)
        else:
            raise InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
            )


async def fill_volumes(engine: Engine, record: ContainerRecord) -> None:
    """Fill empty volumes with what the image has at their destinations, for a container in the making.

    A marker beside the data says that a filling was begun: one that a crash cut short is begun
    anew.
    """
    points = [point for point in record.mounts if point.type == "volume" and point.copy_up]
    if not points:
        return
    root = LayeredRoot([engine.snapshots.upper(record.id), *engine.snapshots.lowers(record.id)])
    async with engine.volumes.filling:
        for point in points:
            await engine.threads.disk(_fill, root, point)


def _fill(root: LayeredRoot, point: MountPoint) -> None:
    marker = os.path.join(os.path.dirname(point.source), _FILLING)
    target = os.open(point.source, DIRECTORY)
    try:
        if os.path.exists(marker):
            empty_directory(target)
        elif os.listdir(target):
            return
        with root.directories(point.destination) as found:
            if found:
                os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                fault_point("create.volume-filling")
                copy_merged(found, target)
                fault_point("create.volume-filled")
                os.unlink(marker)
    finally:
        os.close(target)


def announce_mounts(engine: Engine, record: ContainerRecord) -> None:
    """Send the mount events of the container's volumes."""
    for point in _volumes(record):
        attributes = {
            "driver": point.driver,
            "container": record.id,
            "destination": point.destination,
            "read/write": "true" if point.rw else "false",
            "propagation": point.propagation,
        }
        engine.events.emit("volume", "mount", point.name, attributes)


def announce_unmounts(engine: Engine, record: ContainerRecord) -> None:
    """Send the unmount events of the container's volumes."""
    for point in _volumes(record):
        engine.events.emit("volume", "unmount", point.name, {"driver": point.driver, "container": record.id})


def _volumes(record: ContainerRecord) -> list[MountPoint]:
    return [point for point in record.mounts if point.type == "volume"]
