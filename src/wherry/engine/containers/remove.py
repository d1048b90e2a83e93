"""Removing a container.

The removal is recorded first, so that one cut short is finished by restore.  What an
auto-removed container left behind needs no such record: its own says that it goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wherry.core.snapshots import SnapshotNotFound
from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.engine.container_events import emit_container
from wherry.engine.containers.directory import remove_directory
from wherry.engine.containers.kill import kill_and_wait
from wherry.engine.containers.shared_memory import release_memory
from wherry.engine.containers.supervise import cancel_restart
from wherry.engine.volumes.inspect import volume_users
from wherry.engine.volumes.store import DRIVER
from wherry.errors import Conflict, InvalidArgument, WherryError

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine


class RemovalFailed(WherryError):
    """A container could not be removed; it stays, dead."""


async def remove_container(
    engine: Engine, reference: str, *, volumes: bool = False, force: bool = False, link: bool = False
) -> None:
    """Remove a container, with `volumes` also its anonymous volumes, with `force` also while it runs.

    Raises:
        NotFound: no such container.
        Conflict: it runs, or is being removed already.
    """
    container = engine.containers.find(reference)
    if link:
        raise InvalidArgument("legacy container links are not supported")
    if container.removing:
        raise Conflict(f"removal of container {reference} is already in progress")
    if container.running and not force:
        raise Conflict(_refusal(container))
    container.removing = True
    try:
        if container.running:
            await _end(engine, container)
        async with container.lock:
            if engine.containers.get(container.id) is container:
                await _remove(engine, container, volumes=volumes)
    except BaseException:
        container.removing = False
        raise


def _refusal(container: Container) -> str:
    name = container.record.name
    if container.status == "paused":
        return f'cannot remove container "{name}": container is paused and must be unpaused first'
    return (
        f'cannot remove container "{name}": container is {container.status}: '
        "stop the container before removing or force remove"
    )


async def _end(engine: Engine, container: Container) -> None:
    async with container.lock:
        waiting = await cancel_restart(engine, container)
    if waiting or not container.record.running:
        return
    try:
        await kill_and_wait(engine, container)
    except WherryError as error:
        name = container.record.name
        raise RemovalFailed(f'cannot remove container "{name}": could not kill container: {error}') from error


async def _remove(engine: Engine, container: Container, *, volumes: bool) -> None:
    """Record the removal, then do it.  The caller holds the lock."""
    if container.running:
        raise Conflict(_refusal(container))  # it was started meanwhile
    state = msgspec.structs.replace(container.record.state, status="removing")
    await engine.containers.save(container, msgspec.structs.replace(container.record, state=state))
    fault_point("rm.removal-recorded")
    await discard_container(engine, container, volumes=volumes)


async def discard_container(engine: Engine, container: Container, *, volumes: bool) -> None:
    """Remove everything of a container that no longer runs, its record last.

    In this order: snapshot, directory, then in one commit its record and those of the volumes that
    go along, and last what was in them.  Each may be gone already from an earlier try, and a volume
    without a record is a stray, which restore removes.

    Raises:
        RemovalFailed: the disk refused; the container is dead.
    """
    container.removing = True
    record = container.record
    gone = [
        point.name
        for point in record.mounts
        if volumes and point.type == "volume" and point.anonymous
        and volume_users(engine, point.name) == [container.id]
    ]  # fmt: skip
    try:
        await engine.threads.disk(_discard, engine, container)
    except OSError as error:
        await _mark_dead(engine, container, str(error))
        raise RemovalFailed(
            f"container {container.id}: driver failed to remove root filesystem: {error}"
        ) from error
    fault_point("rm.files-removed")
    await engine.containers.delete(container, volumes=gone)
    fault_point("rm.record-deleted")
    engine.volumes.forget(gone)
    container.drop_pending()
    await engine.threads.disk(_discard_volumes, engine, gone)
    for name in gone:
        engine.events.emit("volume", "destroy", name, {"driver": DRIVER})
    emit_container(engine, container, "destroy")
    container.notify_removed()


def _discard(engine: Engine, container: Container) -> None:
    release_memory(engine, container.record)
    try:
        engine.snapshots.remove(container.id)
    except SnapshotNotFound:
        pass
    fault_point("rm.snapshot-removed")
    remove_directory(engine, container.id)


def _discard_volumes(engine: Engine, names: list[str]) -> None:
    for name in names:
        try:
            engine.volumes.discard(name)
        except OSError as error:
            log("error", "volume not removed", volume=name, error=error)
    fault_point("rm.volumes-removed")


async def _mark_dead(engine: Engine, container: Container, error: str) -> None:
    state = msgspec.structs.replace(container.record.state, status="dead", error=error)
    await engine.containers.save(container, msgspec.structs.replace(container.record, state=state))
    container.removing = False
    container.notify_removed(error)
