"""Preparing a process to run in a container."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from wherry.engine.container_events import emit_container
from wherry.engine.containers.kill import NotRunning
from wherry.engine.detach_keys import parse_detach_keys
from wherry.engine.exec.record import Exec, ExecRecord
from wherry.errors import Conflict, InvalidArgument

if TYPE_CHECKING:
    from wherry.api.types import ExecConfig
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine


async def create_exec(engine: Engine, reference: str, body: ExecConfig) -> dict[str, Any]:
    """Prepare an exec and return `{Id}`; nothing of it is in the kernel yet.

    Raises:
        NotFound: no such container.
        Conflict: it does not run, or is paused or restarting.
        InvalidArgument: no command, or detach keys that are none.
    """
    container = engine.containers.find(reference)
    if not body.cmd:
        raise InvalidArgument("No exec command specified")
    for entry in body.env or ():
        if not entry.partition("=")[0] or "\0" in entry:
            raise InvalidArgument(f"invalid environment variable: {entry}")
    if any("\0" in argument for argument in body.cmd):
        raise InvalidArgument("invalid command: an argument holds a NUL byte")
    parse_detach_keys(body.detach_keys)
    check_running(container)
    record = ExecRecord(id=secrets.token_hex(32), config=body, args=list(body.cmd))
    created = Exec(record, container)
    container.execs[record.id] = created
    emit_container(engine, container, f"exec_create: {created.command}", execID=record.id)
    return {"Id": record.id}


def check_running(container: Container) -> None:
    """Refuse an exec in a container that does not run as usual."""
    if container.status == "paused":
        raise Conflict(f"Container {container.id} is paused, unpause the container before exec")
    if container.status == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if container.task is None or not container.record.running:
        raise NotRunning(container.id)
