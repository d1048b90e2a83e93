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
from wherry.engine.containers.volumes import announce_mounts, announce_unmounts, copy_up, prepare_sources
from wherry.engine.failures import StartFailure, start_failure
from wherry.engine.log_attributes import log_attributes
from wherry.errors import Conflict, NotModified, WherryError

if TYPE_CHECKING:
    from wherry.core.tasks import Task
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine
    from wherry.engine.records import Status


async def start_container(engine: Engine, reference: str, *, detach_keys: str | None = None) -> None:
    """Start a container; returns when its program has been executed.

    Raises:
        NotFound: no such container.
        NotModified: it runs already.
        Conflict: it is paused or being removed.
        InvalidArgument: its program cannot be executed, or a mount does not fit.
    """
    container = engine.containers.find(reference)
    async with container.lock:
        check_startable(container)
        container.restart_cancelled = False
        container.restart_delay_s = 0.0
        await launch(engine, container)


def check_startable(container: Container) -> None:
    """Refuse a start that the container's state forbids."""
    status: Status = "created" if record.state.started_at_ns == 0 else "exited"
    state = msgspec.structs.replace(
        record.state, status=status, pid=0, exit_code=failure.exit_code, error=str(failure.error)
    )
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


def _console_size(container: Container) -> tuple[int, int] | None:
    size = container.record.host_config.console_size
    return size if container.record.config.tty and size != (0, 0) else None

