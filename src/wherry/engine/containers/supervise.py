"""After the start: exits, restart policies, auto-remove.

One coroutine watches each running task.  An exit is recorded in one commit, told to those
who wait, and only then cleaned up; whatever happens next waits for the task's release by the
container's lock.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.engine.container_events import emit_container
from wherry.engine.containers.shared_memory import release_memory
from wherry.engine.containers.volumes import announce_unmounts
from wherry.engine.exec.record import forget_execs
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.core.tasks import Exit, Task
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine
    from wherry.engine.records import ContainerRecord

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 60.0
GOOD_RUN_NS = 10_000_000_000
RETRY_S = 1.0


def watch(engine: Engine, container: Container, task: Task) -> None:
    """Handle the exit of `task` when it comes."""
    engine.spawn(_watch(engine, container, task), f"exit of {container.id}")


async def _watch(engine: Engine, container: Container, task: Task) -> None:
    exit_status = await task.exited
    while True:
        try:
            async with container.lock:
                if container.task is task:
                    await handle_exit(engine, container, task, exit_status)
            return
        except (WherryError, OSError) as error:
            # The disk is full, say: an exit that is not handled would leave the container running for ever.
            log("error", "exit not handled yet", container=container.id, error=error)
            await asyncio.sleep(RETRY_S)


async def handle_exit(engine: Engine, container: Container, task: Task, exit_status: Exit) -> None:
    """Record an exit, tell it, clean up, and do what the policy says.  The caller holds the lock."""
    record = container.record
    restarts = should_restart(container, exit_status.exit_code, exit_status.at_ns)
    removes = record.host_config.auto_remove and not (restarts or container.restarting_by_user)
    after = with_exit(record, exit_status, restarting=restarts)
    fault_point("exit.seen")
    if removes:
        # No commit: a record that says auto-remove and a task that is gone mean the same.
        container.record = after
        container.removing = True
    else:
        await engine.containers.save(container, after)
        fault_point("exit.record-committed")
    if not restarts:
        container.notify_stopped()
    await _clean_up(engine, container, task)
    _announce(engine, container, exit_status)
    container.exit_handled.set()
    if removes:
        await handle_removal(engine, container)
    elif restarts:
        schedule_restart(engine, container)


def with_exit(record: ContainerRecord, exit_status: Exit, *, restarting: bool) -> ContainerRecord:
    """`record` after an exit."""
    state = msgspec.structs.replace(
        record.state,
        status="restarting" if restarting else "exited",
        pid=0,
        exit_code=exit_status.exit_code,
        error=exit_status.error,
        oom_killed=exit_status.oom_killed,
        finished_at_ns=exit_status.at_ns or time.time_ns(),
    )
    return msgspec.structs.replace(record, state=state)


async def _clean_up(engine: Engine, container: Container, task: Task) -> None:
    """Let go of the task: waits until nothing of it is mounted any more."""
    try:
        await task.delete()
    except (WherryError, OSError) as error:
        log("error", "exited task not deleted", container=container.id, error=error)
    container.task = None
    had_execs = bool(container.execs)
    container.execs = {key: each for key, each in container.execs.items() if not each.forget_on_exit}
    await engine.threads.disk(_clean_up_files, engine, container.record, had_execs)
    fault_point("exit.task-deleted")


def _clean_up_files(engine: Engine, record: ContainerRecord, had_execs: bool) -> None:
    release_memory(engine, record)
    if had_execs:
        forget_execs(engine, record.id)


def _announce(engine: Engine, container: Container, exit_status: Exit) -> None:
    record = container.record
    announce_unmounts(engine, record)
    if exit_status.oom_killed:
        emit_container(engine, container, "oom")
    ran_ns = max(record.state.finished_at_ns - record.state.started_at_ns, 0)
    emit_container(
        engine,
        container,
        "die",
        exitCode=str(exit_status.exit_code),
        execDuration=str(ran_ns // 1_000_000_000),
    )


def should_restart(container: Container, exit_code: int, at_ns: int) -> bool:
    """What the restart policy says about an exit; also moves the back-off."""
    state, policy = container.record.state, container.record.host_config.restart_policy
    if container.restart_cancelled or policy.name in {"", "no"}:
        return False
    if at_ns - state.started_at_ns >= GOOD_RUN_NS:
        container.restart_delay_s = 0.0
    container.restart_delay_s = min(container.restart_delay_s * 2 or FIRST_DELAY_S, LONGEST_DELAY_S)
    if policy.name == "on-failure":
        tries = policy.maximum_retry_count
        return exit_code != 0 and (tries == 0 or state.restart_count < tries)
    return policy.name == "always" or not state.stopped_by_user


def schedule_restart(engine: Engine, container: Container) -> None:
    """Start the container again after the back-off."""
    container.restart_timer = engine.spawn(
        _restart_later(engine, container, container.restart_delay_s), f"restart of {container.id}"
    )


async def _restart_later(engine: Engine, container: Container, delay_s: float) -> None:
    from wherry.engine.containers.start import launch

    await asyncio.sleep(delay_s)
    async with container.lock:
        if container.record.state.status != "restarting" or container.restart_cancelled:
            return
        try:
            await launch(engine, container, restart_count=container.record.state.restart_count + 1)
        except (WherryError, OSError) as error:
            log("error", "restart failed", container=container.id, error=error)
            container.notify_stopped()


async def cancel_restart(engine: Engine, container: Container) -> bool:
    """End a waiting restart; True when there was one and the container is now exited.

    The caller holds the lock.
    """
    container.restart_cancelled = True
    if container.record.state.status != "restarting":
        return False
    if container.restart_timer is not None:
        container.restart_timer.cancel()
        container.restart_timer = None
    state = msgspec.structs.replace(container.record.state, status="exited", stopped_by_user=True)
    await engine.containers.save(container, msgspec.structs.replace(container.record, state=state))
    container.notify_stopped()
    return True


async def handle_removal(engine: Engine, container: Container) -> None:
    """Remove a container whose auto-remove has come; a failure is logged and told to those who wait."""
    from wherry.engine.containers.remove import discard_container

    try:
        await discard_container(engine, container, volumes=True)
    except (WherryError, OSError) as error:
        log("error", "auto-remove failed", container=container.id, error=error)
