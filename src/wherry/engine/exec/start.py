"""Running a prepared exec."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from wherry.api import frames
from wherry.core.spec.users import FILE_LIMIT, resolve_user
from wherry.core.tasks import StartFailed
from wherry.diagnostics.faults import fault_point
from wherry.engine.container_events import emit_container
from wherry.engine.detach_keys import parse_detach_keys
from wherry.engine.exec.create import check_running
from wherry.engine.exec.record import find_exec, forget_exec, write_exec
from wherry.engine.failures import OTHER, exec_failure
from wherry.engine.host import this_host
from wherry.engine.security import parse_security_options
from wherry.engine.spec import SpecInputs, exec_process
from wherry.errors import Conflict, WherryError
from wherry.files.beneath import open_beneath

if TYPE_CHECKING:
    from wherry.api.types import ExecStartRequest
    from wherry.core.spec.users import User
    from wherry.core.tasks import AttachEnd, Task
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine
    from wherry.engine.exec.record import Exec

KEPT = 128
"""Ended execs of a container that can still be inspected."""


class ExecAttachment:
    """An exec that starts once its client is connected."""

    def __init__(self, engine: Engine, running: Exec, *, console_size: tuple[int, int] | None) -> None:
        self._engine = engine
        self._exec = running
        self._console_size = console_size
        self.tty = running.record.config.tty

    async def connect(self, sock_fd: int, leftover: bytes = b"") -> None:
        """Start the exec with its streams on `sock_fd`, which is closed at the end.

        The client already has its answer, so why a start failed is written into the stream.
        """
        try:
            try:
                ended = await _start(
                    self._engine,
                    self._exec,
                    console_size=self._console_size,
                    sock_fd=sock_fd,
                    leftover=leftover,
                )
            except WherryError as error:
                await self._tell(sock_fd, str(error))
                return
            if ended is not None and await ended == "detached":
                emit_container(self._engine, self._exec.container, "exec_detach", execID=self._exec.id)
        finally:
            os.close(sock_fd)

    async def _tell(self, sock_fd: int, text: str) -> None:
        message = f"{text}\r\n".encode()
        client = socket.socket(fileno=os.dup(sock_fd))
        client.setblocking(False)
        with client:
            try:
                payload = message if self.tty else frames.encode("stdout", message)
                await asyncio.get_running_loop().sock_sendall(client, payload)
            except OSError:
                pass  # nobody listens any more


async def start_exec(engine: Engine, exec_id: str, body: ExecStartRequest) -> ExecAttachment | None:
    """Start a detached exec, or return the attachment that will start it.

    Raises:
        NotFound: no such exec.
        Conflict: it ran before, or its container does not run.
        InvalidArgument: detached, and its program cannot be executed.
    """
    found = find_exec(engine, exec_id)
    if found.state == "running":
        raise Conflict(f"exec command {exec_id} is already running")
    if found.state == "stopped":
        raise Conflict(f"exec command {exec_id} has already run")
    check_running(found.container)
    found.state = "running"
    size = body.console_size or found.record.config.console_size
    if not body.detach:
        return ExecAttachment(engine, found, console_size=size)
    await _start(engine, found, console_size=size)
    return None


async def _start(
    engine: Engine,
    running: Exec,
    *,
    console_size: tuple[int, int] | None,
    sock_fd: int = -1,
    leftover: bytes = b"",
) -> asyncio.Future[AttachEnd] | None:
    """Start the process; the future is the attachment's end.  A failure is kept as its exit code."""
    task = running.container.task
    try:
        if task is None:
            raise Conflict(f"container {running.container.id} is not running")
        return await _run(engine, running, task, console_size, sock_fd, leftover)
    except BaseException as error:
        failure = exec_failure(error) if isinstance(error, StartFailed) else None
        running.state = "stopped"
        running.exit_code = failure.exit_code if failure else OTHER
        running.ended.set()
        if failure is None:
            raise
        raise failure.error from error


async def _run(
    engine: Engine,
    running: Exec,
    task: Task,
    console_size: tuple[int, int] | None,
    sock_fd: int,
    leftover: bytes,
) -> asyncio.Future[AttachEnd] | None:
    config = running.record.config
    user = await _user(engine, running, task)
    process = _process(engine, running, user, console_size)
    await engine.threads.disk(partial(write_exec, engine, running.container.id, running.record))
    fault_point("exec.recorded")
    has_stdin = sock_fd >= 0 and config.attach_stdin
    await task.create_exec(running.id, process, terminal=config.tty, stdin=has_stdin)
    fault_point("exec.created")
    ended = await _attach_and_start(running, task, sock_fd, leftover)
    fault_point("exec.started")
    emit_container(engine, running.container, f"exec_start: {running.command}", execID=running.id)
    engine.spawn(watch_exec(engine, running, task), f"exit of exec {running.id}")
    return ended


async def _attach_and_start(
    running: Exec, task: Task, sock_fd: int, leftover: bytes
) -> asyncio.Future[AttachEnd] | None:
    """Hand the client's socket over, if there is one, and start; the future is the attachment's end.

    The start is sent without waiting for the answer to the attach: a client must not be left
    with a shim that was never told to start.  The shim takes its calls in order.
    """
    if sock_fd < 0:
        running.pid = await task.start_exec(running.id)
        return None
    config = running.record.config
    attaching = asyncio.ensure_future(
        task.attach(
            sock_fd,
            stdin=config.attach_stdin,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            framed=not config.tty,
            detach_keys=parse_detach_keys(config.detach_keys) if config.tty else None,
            leftover=leftover,
            exec_id=running.id,
            close_stdin_on_eof=True,
        )
    )
    await asyncio.sleep(0)
    try:
        running.pid = await task.start_exec(running.id)
    except BaseException:
        await asyncio.gather(attaching, return_exceptions=True)
        raise
    return await attaching


async def watch_exec(engine: Engine, running: Exec, task: Task) -> None:
    """Keep the exit code of a running exec when it ends, with its container at the latest."""
    exited, released = task.exec_exited(running.id), task.released
    ends: list[asyncio.Future[Any]] = [exited, released]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    running.exit_code = exited.result().exit_code if exited.done() else 128 + signal.SIGKILL
    running.pid = 0
    running.state = "stopped"
    running.ended.set()
    code = str(running.exit_code)
    emit_container(engine, running.container, "exec_die", execID=running.id, exitCode=code)
    await _forget_oldest(engine, running.container, task)


async def _forget_oldest(engine: Engine, container: Container, task: Task) -> None:
    """Bound what is remembered of ended execs: health checks and scripts make thousands."""
    stopped = [each for each in container.execs.values() if each.state == "stopped"]
    for oldest in stopped[: max(len(stopped) - KEPT, 0)]:
        container.execs.pop(oldest.id, None)
        await engine.threads.disk(forget_exec, engine, container.id, oldest.id)
        if task.state != "stopped":
            await task.delete_exec(oldest.id)


async def _user(engine: Engine, running: Exec, task: Task) -> User:
    """The user of the exec, from the passwd and group files as they are now."""
    record = running.container.record
    async with task.rootfs() as root_fd:
        passwd, group = await engine.threads.disk(
            lambda: (_read(root_fd, "etc/passwd"), _read(root_fd, "etc/group"))
        )
    return resolve_user(
        running.record.config.user or record.config.user,
        passwd=passwd,
        group=group,
        group_add=tuple(record.host_config.group_add or ()),
    )


def _read(root_fd: int, path: str) -> bytes:
    """The beginning of a regular file beneath the root; the container may be changing it."""
    try:
        fd = open_beneath(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        return file.read(FILE_LIMIT) if os.path.isfile(f"/proc/self/fd/{fd}") else b""


def _process(
    engine: Engine, running: Exec, user: User, console_size: tuple[int, int] | None
) -> dict[str, object]:
    record, config = running.container.record, running.record.config
    inputs = SpecInputs(
        host=this_host(),
        user=user,
        security=parse_security_options(record.host_config.security_opt, this_host()),
        files={},
        default_ulimits=engine.config.default_ulimits,
        oom_score_adjust=engine.config.oom_score_adjust,
        no_new_privileges=engine.config.no_new_privileges,
    )
    return exec_process(
        record,
        inputs,
        args=running.record.args,
        env=config.env or (),
        cwd=config.working_dir,
        tty=config.tty,
        privileged=config.privileged,
        console_size=console_size,
    )
