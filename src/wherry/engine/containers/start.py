"""Starting a container.

The task is created, queued clients are attached to it, it is let go, and then one commit
says that it runs.  A crash before that commit leaves a task that the record does not know;
restore takes it over if it runs and removes it if it does not.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from wherry.core.tasks import CreateTask, LogTarget
from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.engine.container_events import emit_container
from wherry.engine.containers.checks import parse_log_options
from wherry.engine.containers.directory import log_path
from wherry.engine.containers.inputs import container_spec
from wherry.engine.containers.supervise import handle_removal, watch
from wherry.engine.containers.volumes import announce_mounts, announce_unmounts, prepare_sources
from wherry.engine.detach_keys import parse_detach_keys
from wherry.engine.failures import NoDeviceDriver, start_failure
from wherry.engine.log_attributes import log_attributes
from wherry.engine.records import ContainerState
from wherry.errors import Conflict, NotModified, Unsupported, WherryError

if TYPE_CHECKING:
    from wherry.core.tasks import Task
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine
    from wherry.engine.failures import StartFailure
    from wherry.engine.records import ContainerRecord


async def start_container(
    engine: Engine, reference: str, *, detach_keys: str | None = None, checkpoint: str = ""
) -> None:
    """Start a container; returns when its program has been executed.

    `detach_keys` is checked only: each attach brings its own.

    Raises:
        Unsupported: from a checkpoint.
        NotFound: no such container.
        NotModified: it runs already.
        Conflict: it is paused or being removed.
        InvalidArgument: its program cannot be executed, or a mount does not fit.
    """
    parse_detach_keys(detach_keys)
    if checkpoint:
        raise Unsupported(f"cannot start from checkpoint {checkpoint!a}: there are no checkpoints here")
    container = engine.containers.find(reference)
    async with container.lock:
        check_startable(container)
        container.restart_cancelled = False
        container.restart_delay_s = 0.0
        await launch(engine, container)


def check_startable(container: Container) -> None:
    """Refuse a start that the container's state forbids."""
    if container.status == "paused":
        raise Conflict("cannot start a paused container, try unpause instead")
    if container.running:
        raise NotModified("container is already running")
    if container.status in {"removing", "dead"}:
        raise Conflict("container is marked for removal and cannot be started")


async def launch(engine: Engine, container: Container, *, restart_count: int = 0) -> None:
    """Create and start the task, record it and send the event.  The caller holds the lock.

    A failure is recorded as the container's exit code and error; with auto-remove the
    container goes.
    """
    try:
        task = await _run_task(engine, container)
    except BaseException as error:
        failure = start_failure(error) if isinstance(error, (WherryError, OSError)) else None
        await _record_failure(engine, container, failure)
        if failure is None:
            raise
        raise failure.error from error
    container.task = task
    container.execs = {}
    container.exit_handled.clear()
    fault_point("start.task-started")
    await engine.containers.save(container, _started(container.record, task, restart_count))
    fault_point("start.record-committed")
    emit_container(engine, container, "start")
    watch(engine, container, task)


def _started(record: ContainerRecord, task: Task, restart_count: int) -> ContainerRecord:
    state = ContainerState(
        status="running",
        pid=task.pid,
        started_at_ns=task.started_at_ns or time.time_ns(),
        finished_at_ns=record.state.finished_at_ns,
        restart_count=restart_count,
    )
    return msgspec.structs.replace(record, state=state)


async def _run_task(engine: Engine, container: Container) -> Task:
    record = container.record
    for devices in record.host_config.device_requests or ():  # there are no device drivers
        raise NoDeviceDriver(devices.driver, devices.capabilities or ())
    await engine.threads.disk(prepare_sources, record)
    fault_point("start.sources-prepared")
    request = CreateTask(
        tenant=engine.tenant,
        id=record.id,
        spec=await container_spec(engine, container),
        # After a crash of the machine a container of --rm is removed: what it wrote need not be there.
        rootfs=engine.snapshots.mounts(record.id, volatile=record.host_config.auto_remove),
        terminal=record.config.tty,
        stdin=record.config.open_stdin,
        stdin_once=record.config.stdin_once,
        log=_log_target(engine, container),
    )
    fault_point("start.spec-built")
    task = await engine.tasks.create(request)
    try:
        fault_point("start.task-created")
        announce_mounts(engine, record)
        await _attach_pending(container, task)
        fault_point("start.clients-attached")
        await task.start()
    except BaseException:
        announce_unmounts(engine, record)
        await _delete_task(task)
        raise
    return task


async def _attach_pending(container: Container, task: Task) -> None:
    """Hand over the clients that attached to the created container; one that has gone is let go."""
    pending, container.pending = container.pending, []
    for client in pending:
        if client.begun.done():
            continue
        try:
            ended = await task.attach(
                client.sock_fd,
                stdin=client.stdin,
                stdout=client.stdout,
                stderr=client.stderr,
                framed=not container.record.config.tty,
                detach_keys=client.detach_keys,
                leftover=client.leftover,
                close_stdin_on_eof=container.record.config.stdin_once,
            )
        except (WherryError, OSError) as error:
            log("warning", "client not attached", container=container.id, error=error)
            client.begun.cancel()
        else:
            if not client.begun.done():
                client.begun.set_result(ended)


async def _delete_task(task: Task) -> None:
    try:
        await task.delete()
    except (WherryError, OSError) as error:
        log("error", "task of a failed start not deleted", container=task.id, error=error)


async def _record_failure(engine: Engine, container: Container, failure: StartFailure | None) -> None:
    """Keep why the container does not run; a start that was only given up leaves no trace."""
    container.drop_pending()
    record = container.record
    if failure is None:
        return
    state = msgspec.structs.replace(
        record.state, pid=0, exit_code=failure.exit_code, error=str(failure.error)
    )
    if record.host_config.auto_remove:
        container.record = msgspec.structs.replace(record, state=state)
        await handle_removal(engine, container)
        return
    if record.state.status == "restarting":
        state = msgspec.structs.replace(state, status="exited", finished_at_ns=time.time_ns())
    await engine.containers.save(container, msgspec.structs.replace(record, state=state))


def _log_target(engine: Engine, container: Container) -> LogTarget | None:
    config = container.record.host_config.log_config
    if config.type == "none":
        return None
    size_bytes, count = parse_log_options(config.config)
    return LogTarget(
        path=os.fspath(log_path(engine, container.id)),
        max_size_bytes=size_bytes,
        max_files=count,
        attrs=log_attributes(container.record),
    )
