"""Stopping a container."""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING

import msgspec

from wherry.diagnostics.faults import fault_point
from wherry.engine.container_events import emit_container
from wherry.engine.containers.kill import KILL_TIMEOUT_S, Unkillable, exited_within, send_signal
from wherry.engine.containers.supervise import cancel_restart
from wherry.engine.signals import parse_signal, stop_signal
from wherry.errors import InvalidArgument, NotModified, WherryError

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine


class StopFailed(WherryError):
    """A container could not be stopped."""


async def stop_container(
    engine: Engine, reference: str, *, signal: str | None = None, timeout_s: int | None = None
) -> None:
    """Stop a container: its stop signal, then SIGKILL after the grace time; -1 waits for ever.

    Raises:
        NotFound: no such container.
        NotModified: it does not run.
        InvalidArgument: no such signal.
        StopFailed: it did not end.
    """
    container = engine.containers.find(reference)
    if not container.running:
        raise NotModified("container is already stopped")
    await end_container(engine, container, signal=signal, timeout_s=timeout_s)
    emit_container(engine, container, "stop")


async def end_container(
    engine: Engine, container: Container, *, signal: str | None, timeout_s: int | None
) -> None:
    """Stop a running container without the event of it."""
    config = container.record.config
    number = parse_signal(signal) if signal else stop_signal(config.stop_signal)
    if timeout_s is None:
        timeout_s = (
            engine.config.default_stop_timeout_s if config.stop_timeout is None else config.stop_timeout
        )
    if timeout_s < -1:
        raise InvalidArgument(f"invalid stop timeout: {timeout_s}")
    async with container.lock:
        if await cancel_restart(engine, container):
            return
        if not container.record.running:
            return
        await _record_stop(engine, container)
    fault_point("stop.recorded")
    if not await send_signal(engine, container, number):
        await exited_within(container, KILL_TIMEOUT_S)
        return
    fault_point("stop.signal-sent")
    if await exited_within(container, None if timeout_s < 0 else float(timeout_s)):
        return
    await send_signal(engine, container, signals.SIGKILL)
    fault_point("stop.kill-sent")
    if not await exited_within(container, KILL_TIMEOUT_S):
        raise StopFailed(f"cannot stop container: {container.record.name}: {Unkillable()}")


async def _record_stop(engine: Engine, container: Container) -> None:
    """Remember that the user asked, where a restart policy will want to know after a reboot."""
    if container.record.host_config.restart_policy.name in {"", "no"}:
        return
    state = msgspec.structs.replace(container.record.state, stopped_by_user=True)
    await engine.containers.save(container, msgspec.structs.replace(container.record, state=state))
