"""At the start of the daemon: rejoin what runs, catch up with what ended, finish what was cut short.

task runs, record runs            watch it
task runs, record does not        the start was cut short after the program began: take it over
task created, never started       the start was cut short before: remove the task
task stopped                      its exit happened meanwhile: handle it as ever
record runs, no task              the machine was rebooted: the exit code is not known
record is being removed           finish the removal
directory or volume, no record    a create was cut short: undo it
layer half unpacked               a pull was cut short: the next one begins that layer anew
snapshot's directory, no record   its making or removal was cut short: remove it
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from wherry.core.snapshots import SnapshotNotFound
from wherry.core.tasks import Exit
from wherry.core.unpack import discard_unfinished
from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.engine.container_events import emit_container
from wherry.engine.containers.directory import remove_directory
from wherry.engine.containers.remove import discard_container
from wherry.engine.containers.shared_memory import release_memory
from wherry.engine.containers.start import launch
from wherry.engine.containers.supervise import (
    handle_exit,
    handle_removal,
    schedule_restart,
    should_restart,
    watch,
    with_exit,
)
from wherry.engine.exec.record import Exec, forget_execs, forget_strays, read_execs
from wherry.engine.exec.start import watch_exec
from wherry.errors import NotFound, WherryError

if TYPE_CHECKING:
    from wherry.core.tasks import Task
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine

LOST_EXIT_CODE = 255


async def restore(engine: Engine) -> None:
    """Bring records, tasks and directories to agree; containers that should run are started again."""
    tasks = {task.id: task for task in await engine.tasks.recover() if task.tenant == engine.tenant}
    await _undo_creates(engine)
    await _discard_snapshots(engine)
    for container in engine.containers:
        try:
            async with container.lock:
                await _restore_container(engine, container, tasks.pop(container.id, None))
        except (WherryError, OSError) as error:
            log("error", "container not restored", container=container.id, error=error)
    for task in tasks.values():
        await _drop_task(task)  # of a container that a removal had already forgotten
    await engine.threads.disk(forget_strays, engine)


async def _restore_container(engine: Engine, container: Container, task: Task | None) -> None:
    status = container.record.state.status
    if status in {"removing", "dead"}:
        await _finish_removal(engine, container, task)
    elif task is not None and task.state in {"running", "paused"}:
        await _rejoin(engine, container, task)
    elif task is not None and (task.state == "created" or not container.record.running):
        await _drop_task(task)
        await _after_lost_start(engine, container)
    elif task is not None:
        await _catch_up(engine, container, task)
    elif container.record.running:
        await _after_reboot(engine, container)
    else:
        await _restart_by_policy(engine, container)


async def _finish_removal(engine: Engine, container: Container, task: Task | None) -> None:
    if task is not None:
        await _drop_task(task)
    fault_point("restore.removal-resumed")
    try:
        await discard_container(engine, container, volumes=False)
    except NotFound:
        pass


async def _rejoin(engine: Engine, container: Container, task: Task) -> None:
    """Take over a running task; its record may not know yet that it runs."""
    container.task = task
    container.exit_handled.clear()
    state = container.record.state
    known = container.record.running and state.pid == task.pid
    if not known or state.status != task.state:
        new = msgspec.structs.replace(
            state,
            status=task.state,
            pid=task.pid,
            started_at_ns=task.started_at_ns or state.started_at_ns or time.time_ns(),
            error="",
            stopped_by_user=False if not known else state.stopped_by_user,
        )
        await engine.containers.save(container, msgspec.structs.replace(container.record, state=new))
        fault_point("restore.start-recorded")
        if not known:
            emit_container(engine, container, "start")
    await _rejoin_execs(engine, container, task)
    watch(engine, container, task)


async def _rejoin_execs(engine: Engine, container: Container, task: Task) -> None:
    """Know the execs again that were started; what never reached the shim is forgotten."""
    known = set(task.execs)
    for record in await engine.threads.disk(read_execs, engine, container.id):
        if record.id not in known or not await _was_started(task, record.id):
            continue
        found = Exec(record, container)
        found.state, found.pid = "running", task.exec_pid(record.id)
        container.execs[record.id] = found
        engine.spawn(watch_exec(engine, found, task), f"exit of exec {record.id}")


async def _was_started(task: Task, exec_id: str) -> bool:
    """Whether an exec that the shim knows runs or ran; one that was only prepared is dropped."""
    if task.exec_exited(exec_id).done():
        return True
    try:
        await task.kill(0, exec_id=exec_id)  # no signal: only asks whether the process is there
    except WherryError:
        await task.delete_exec(exec_id)
        return False
    return True


async def _catch_up(engine: Engine, container: Container, task: Task) -> None:
    """Handle an exit that happened while no daemon ran."""
    container.task = task
    container.exit_handled.clear()
    await handle_exit(engine, container, task, await task.exited)


async def _after_lost_start(engine: Engine, container: Container) -> None:
    """A start was cut short.  An auto-remove container whose client is gone will not be started again."""
    await engine.threads.disk(release_memory, engine, container.record)
    if container.record.running or container.record.state.status == "restarting":
        await _after_reboot(engine, container)
    elif container.record.host_config.auto_remove:
        await handle_removal(engine, container)


async def _after_reboot(engine: Engine, container: Container) -> None:
    """The task is gone without a trace of its exit."""
    await engine.threads.disk(forget_execs, engine, container.id)
    await engine.threads.disk(release_memory, engine, container.record)
    lost = Exit(exit_code=LOST_EXIT_CODE, at_ns=time.time_ns())
    restarts = should_restart(container, lost.exit_code, lost.at_ns)
    if container.record.host_config.auto_remove and not restarts:
        await handle_removal(engine, container)
        return
    after = with_exit(container.record, lost, restarting=restarts)
    await engine.containers.save(container, after)
    fault_point("restore.exit-recorded")
    if restarts:
        schedule_restart(engine, container)


async def _restart_by_policy(engine: Engine, container: Container) -> None:
    """Start what should always run, as after a reboot of the daemon."""
    record = container.record
    await engine.threads.disk(release_memory, engine, record)
    if record.state.status == "restarting":
        schedule_restart(engine, container)
        return
    policy = record.host_config.restart_policy.name
    has_run = record.state.started_at_ns != 0
    if policy == "always" and has_run and record.state.status == "exited":
        try:
            await launch(engine, container)
        except WherryError as error:
            log("error", "restart failed", container=container.id, error=error)


async def _drop_task(task: Task) -> None:
    try:
        if task.state in {"running", "paused"}:
            await task.kill(9)
            await task.exited
        await task.delete()
    except (WherryError, OSError) as error:
        log("warning", "task not removed", task=task.id, error=error)


async def _undo_creates(engine: Engine) -> None:
    """Remove directories, snapshots and volumes that no record names."""
    known = {container.id for container in engine.containers}
    for container_id in await engine.threads.disk(_directories, engine):
        if container_id in known:
            continue
        fault_point("restore.create-found")
        try:
            await engine.threads.disk(_undo_create, engine, container_id)
            log("info", "removed what was left of a create", container=container_id)
        except (WherryError, OSError) as error:
            log("error", "what was left of a create not removed", container=container_id, error=error)
    for name in await engine.threads.disk(engine.volumes.stray):
        try:
            await engine.threads.disk(engine.volumes.discard, name)
            log("info", "removed a volume without a record", volume=name)
        except OSError as error:
            log("error", "volume without a record not removed", volume=name, error=error)


async def _discard_snapshots(engine: Engine) -> None:
    """Remove half-made layers, and the directories of snapshots that no record names."""
    try:
        await engine.threads.disk(discard_unfinished, engine.snapshots)
        found = await engine.threads.disk(engine.snapshots.cleanup)
    except (WherryError, OSError) as error:
        log("error", "what was left of snapshots not removed", error=error)
        return
    if found:
        log("info", "removed snapshots without a record", count=found)


def _directories(engine: Engine) -> list[str]:
    return [entry.name for entry in os.scandir(engine.containers_root)]


def _undo_create(engine: Engine, container_id: str) -> None:
    try:
        engine.snapshots.remove(container_id)
    except SnapshotNotFound:
        pass
    remove_directory(engine, container_id)
