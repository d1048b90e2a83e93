"""Resizing a container's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.engine.container_events import emit_container
from wherry.engine.containers.kill import NotRunning

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def resize_container(engine: Engine, reference: str, rows: int, columns: int) -> None:
    """Set the size of the container's terminal.

    Raises:
        NotFound: no such container.
        Conflict: it does not run, or has no terminal.
    """
    container = engine.containers.find(reference)
    if container.task is None or not container.record.running:
        raise NotRunning(container.id)
    await container.task.resize(rows, columns)
    emit_container(engine, container, "resize", height=str(rows), width=str(columns))
