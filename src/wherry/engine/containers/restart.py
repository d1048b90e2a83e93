"""Restarting a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.diagnostics.faults import fault_point
from wherry.engine.container_events import emit_container
from wherry.engine.containers.start import check_startable, launch
from wherry.engine.containers.stop import end_container
from wherry.errors import Conflict, WherryError

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine


class RestartFailed(WherryError):
    """A container could not be restarted."""


async def restart_container(
    engine: Engine, reference: str, *, signal: str | None = None, timeout_s: int | None = None
) -> None:
    """Stop a container if it runs, and start it.  An auto-removed one survives the stop.

    Raises:
        NotFound: no such container.
        RestartFailed: it did not end, or its program cannot be executed.
    """
    container = engine.containers.find(reference)
    if container.removing:
        raise Conflict(f"Cannot restart container {reference}: container is marked for removal")
    container.restarting_by_user = True
    try:
        if container.running:
            await end_container(engine, container, signal=signal, timeout_s=timeout_s)
            fault_point("restart.stopped")
            emit_container(engine, container, "stop")
        async with container.lock:
            await _start(engine, container)
    except WherryError as error:
        failure = type(error) if type(error).__init__ is WherryError.__init__ else RestartFailed
        raise failure(f"Cannot restart container {reference}: {error}") from error
    finally:
        container.restarting_by_user = False
    emit_container(engine, container, "restart")


async def _start(engine: Engine, container: Container) -> None:
    if container.record.running:
        return  # somebody else was quicker
    check_startable(container)
    container.restart_cancelled = False
    container.restart_delay_s = 0.0
    await launch(engine, container)
