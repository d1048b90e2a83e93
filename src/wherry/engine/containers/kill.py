"""Sending signals to a container's init."""

from __future__ import annotations

import asyncio
import signal as signals
from typing import TYPE_CHECKING

from wherry.diagnostics.faults import fault_point
from wherry.engine.container_events import emit_container
from wherry.engine.containers.supervise import cancel_restart
from wherry.engine.signals import parse_signal, stop_signal
from wherry.errors import Conflict, WherryError

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine

KILL_TIMEOUT_S = 10.0


class Unkillable(WherryError):
    """The kernel did not end the processes in time."""

    def __init__(self) -> None:
        super().__init__("tried to kill container, but did not receive an exit event")


class NotRunning(Conflict):
    """The operation needs a running container."""

    def __init__(self, container_id: str, *, prefix: str = "") -> None:
        super().__init__(f"{prefix}container {container_id} is not running")


async def kill_container(engine: Engine, reference: str, *, signal: str = "SIGKILL") -> None:
    """Send a signal to the container's init; after SIGKILL, wait until it is gone.

    The stop signal and SIGKILL also end the restart policy's say, until the next start.

    Raises:
        NotFound: no such container.
        InvalidArgument: no such signal.
        Conflict: it does not run.
    """
    container = engine.containers.find(reference)
    number = parse_signal(signal or "SIGKILL")
    async with container.lock:
        ends = number in {signals.SIGKILL, stop_signal(container.record.config.stop_signal)}
        if ends and await cancel_restart(engine, container):
            return
        if not container.record.running:
            name = container.record.name
            raise NotRunning(container.id, prefix=f"cannot kill container: {name}: ")
    if number == signals.SIGKILL:
        await kill_and_wait(engine, container)
    elif not await send_signal(engine, container, number):
        raise NotRunning(container.id, prefix=f"cannot kill container: {container.record.name}: ")


async def send_signal(engine: Engine, container: Container, number: int) -> bool:
    """Send a signal and its event; False when the container no longer runs.

    A frozen process takes SIGKILL only once it is thawed, which the shim sees to.
    """
    task = container.task
    if task is None or not container.record.running:
        return False
    try:
        await task.kill(number)
        fault_point("kill.signal-sent")
    except Conflict:
        return False
    emit_container(engine, container, "kill", signal=str(int(number)))
    return True


async def kill_and_wait(engine: Engine, container: Container) -> None:
    """End the container and wait until its exit has been handled.

    Raises:
        Unkillable: it did not end.
    """
    container.restart_cancelled = True
    await send_signal(engine, container, signals.SIGKILL)
    if not await exited_within(container, KILL_TIMEOUT_S):
        raise Unkillable


async def exited_within(container: Container, timeout_s: float | None) -> bool:
    """Wait for the container's exit to be handled; False after `timeout_s`, None waits for ever."""
    if container.task is None:
        return True
    try:
        async with asyncio.timeout(timeout_s):
            await container.exit_handled.wait()
    except TimeoutError:
        return False
    return True
