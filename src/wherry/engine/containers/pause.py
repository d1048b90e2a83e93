"""Freezing and thawing a container's processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wherry.diagnostics.faults import fault_point
from wherry.engine.container_events import emit_container
from wherry.engine.containers.kill import NotRunning
from wherry.errors import Conflict, WherryError

if TYPE_CHECKING:
    from wherry.core.tasks import Task
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine
    from wherry.engine.records import Status


class NotPaused(WherryError):
    """There is nothing to thaw."""


async def pause_container(engine: Engine, reference: str) -> None:
    """Freeze all processes of a container.

    Raises:
        NotFound: no such container.
        Conflict: it does not run, or is frozen already.
    """
    container = engine.containers.find(reference)
    async with container.lock:
        task = _running_task(container)
        if container.status == "paused":
            raise Conflict(f"container {container.id} is already paused")
        await task.pause()
        fault_point("pause.frozen")
        await _save(engine, container, "paused")
    emit_container(engine, container, "pause")


async def unpause_container(engine: Engine, reference: str) -> None:
    """Thaw all processes of a container.

    Raises:
        NotFound: no such container.
        Conflict: it does not run.
        NotPaused: it is not frozen.
    """
    container = engine.containers.find(reference)
    async with container.lock:
        if container.status != "paused":
            raise NotPaused(f"Container {container.id} is not paused")
        await _running_task(container).resume()
        fault_point("unpause.thawed")
        await _save(engine, container, "running")
    emit_container(engine, container, "unpause")


def _running_task(container: Container) -> Task:
    if container.status == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if container.task is None or not container.record.running:
        raise NotRunning(container.id)
    return container.task


async def _save(engine: Engine, container: Container, status: Status) -> None:
    state = msgspec.structs.replace(container.record.state, status=status)
    await engine.containers.save(container, msgspec.structs.replace(container.record, state=state))
