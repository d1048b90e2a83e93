"""A task: the running processes of one container, as its shim tells of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from wherry.core.tasks.connection import Connection
from wherry.core.tasks.values import AttachEnd, ExecNotFound, Exit, TaskEvent, TaskState
from wherry.errors import Conflict, Unavailable


def exit_from(wire: dict[str, Any]) -> Exit:
    """The exit that a shim, or its record, tells of."""
    return msgspec.convert(wire, Exit)


class Task:
    """One task.  Its state changes as the shim reports, whether or not somebody asks.

    A shim that is lost ends the task: its processes are killed and it exits with 137.
    """

    def __init__(self, tenant: str, task_id: str, *, on_event: Callable[[TaskEvent], None]) -> None:
        self.tenant = tenant
        self.id = task_id
        self.pid = 0
        self.started_at_ns = 0
        self.state: TaskState = "created"
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[Exit] = self._loop.create_future()
        self._released: asyncio.Future[None] = self._loop.create_future()
        self._execs: dict[str, asyncio.Future[Exit]] = {}
        self._exec_pids: dict[str, int] = {}
        self._attachments: dict[int, asyncio.Future[AttachEnd]] = {}
        self._ended_early: dict[int, AttachEnd] = {}  # the end overtook the answer to `attach`
        self._rootfs_users = 0
        self._shim_released = False
        self.deleting = False  # the end of its shim is no loss any more
        self._connection: Connection | None = None
        self._remove: Callable[[Task], Awaitable[None]] | None = None

    # --- what one can wait for -------------------------------------------------------------------

    @property
    def exited(self) -> asyncio.Future[Exit]:
        """Done when init is gone, and its output in the log.  Cancelling it disturbs no other waiter."""
        return asyncio.shield(self._exited)

    @property
    def released(self) -> asyncio.Future[None]:
        """Done when no mount, cgroup or process of the task is left: its snapshot may be used again."""
        return asyncio.shield(self._released)

    def exec_exited(self, exec_id: str) -> asyncio.Future[Exit]:
        """Done when that exec'd process is gone.

        Raises:
            ExecNotFound: no such exec, or one that `delete_exec` has forgotten.
        """
        return asyncio.shield(self._exec(exec_id))

    @property
    def execs(self) -> list[str]:
        """The ids of the execs the shim knows, ended ones too until `delete_exec`."""
        return list(self._execs)

    # --- the life cycle --------------------------------------------------------------------------

    async def start(self) -> None:
        """Let init execute the program; returns after its execve.

        Raises:
            StartFailed: it cannot be executed; the task then exits with that exit code.
            Conflict: not a created task.
        """
        answer = await self._call("start")
        self.started_at_ns = answer["started_at_ns"]
        if self.state == "created":
            self.state = "running"

    async def kill(self, signal: int, *, exec_id: str | None = None, all: bool = False) -> None:
        """Send `signal` to init, to an exec'd process, or to all processes of the task.

        Raises:
            Conflict: the process is not running.
        """
        try:
            await self._call("kill", signal=signal, exec_id=exec_id, all=all)
        except Unavailable:
            # The shim is lost, and what it ran is being killed: by that the signal has come too late.
            await self.exited
            raise Conflict(f"task {self.id} is not running") from None

    async def pause(self) -> None:
        """Freeze all processes.

        Raises:
            Conflict: not running.
        """
        await self._call("pause")
        if self.state == "running":
            self.state = "paused"

    async def resume(self) -> None:
        """Thaw all processes.

        Raises:
            Conflict: not paused.
        """
        await self._call("resume")
        if self.state == "paused":
            self.state = "running"

    async def delete(self) -> None:
        """Acknowledge the exit: waits for `released`, ends the shim, removes the bundle.

        The shim has answered then and ends by itself, a moment later: it holds nothing of the task any more.
        A created task that was never started is killed first.

        Raises:
            Conflict: still running.
        """
        if self.state != "stopped":
            if self.state != "created":
                raise Conflict(f"task {self.id} is {self.state}")
            with suppress(Conflict):  # it has ended meanwhile, by itself or with its shim
                await self.kill(9)
        await self.released
        self.deleting = True
        if self._connection is not None:
            try:
                await self._connection.call("delete")
            except Unavailable:
                pass  # the shim ended with the answer still on its way
        if self._remove is not None:
            await self._remove(self)

    # --- looking and changing --------------------------------------------------------------------

    async def resize(self, rows: int, columns: int, exec_id: str | None = None) -> None:
        """Set the size of the terminal.

        Raises:
            Conflict: no terminal, or the process is gone.
        """
        await self._call("resize", rows=rows, columns=columns, exec_id=exec_id)

    async def pids(self) -> list[int]:
        """The process ids of the task's processes, in the host's numbers."""
        pids: list[int] = (await self._call("pids"))["pids"]
        return pids

    async def stats(self) -> dict[str, Any]:
        """What the task's cgroup counts."""
        stats: dict[str, Any] = (await self._call("stats"))["stats"]
        return stats

    async def update(self, resources: dict[str, Any]) -> None:
        """Apply OCI `linux.resources` to the running task.

        Raises:
            InvalidArgument: the kernel refuses a value.
        """
        await self._call("update", resources=resources)

    async def log_position(self) -> int:
        """The size in bytes of the log once all output so far is in it; 0 without a log."""
        position: int = (await self._call("sync_log"))["log_offset"]
        return position

    # --- streams ---------------------------------------------------------------------------------

    async def attach(
        self,
        sock_fd: int,
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        framed: bool,
        detach_keys: bytes | None = None,
        leftover: bytes = b"",
        exec_id: str | None = None,
        close_stdin_on_eof: bool = True,
    ) -> asyncio.Future[AttachEnd]:
        """Hand the client's own socket to the shim; the result tells how the attachment ended.

        Attached before `start`, the client gets every byte.  `leftover` is input already read from
        the socket.  The end of the client's input closes the process's stdin with
        `close_stdin_on_eof` and without a terminal; otherwise it ends the attachment ("eof").  After
        the last byte ("exited"), or when the start fails ("failed"), the shim lets go of the socket:
        the client meets its end when the caller closes `sock_fd`, once the exit is known.

        Raises:
            Conflict: the process is gone.
        """
        wish = {
            "exec_id": exec_id,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "framed": framed,
            "detach_keys": (detach_keys or b"").hex(),
            "leftover": leftover.hex(),
            "close_stdin": close_stdin_on_eof,
        }
        return self._await_end((await self._call("attach", [sock_fd], **wish))["attach"])

    def _await_end(self, number: int) -> asyncio.Future[AttachEnd]:
        ended: asyncio.Future[AttachEnd] = self._loop.create_future()
        if number in self._ended_early:
            ended.set_result(self._ended_early.pop(number))
        elif self._connection is None or self._connection.ended:
            ended.set_result("exited")
        else:
            self._attachments[number] = ended
        return ended

    async def create_exec(
        self, exec_id: str, process: dict[str, Any], *, terminal: bool = False, stdin: bool = False
    ) -> None:
        """Announce a process to run in the task, so that clients can attach before it starts.

        Raises:
            AlreadyExists: an exec of this id is known.
            Conflict: the task is not running.
        """
        await self._call("create_exec", exec_id=exec_id, process=process, terminal=terminal, stdin=stdin)
        self._execs.setdefault(exec_id, self._loop.create_future())

    async def start_exec(self, exec_id: str) -> int:
        """Run a created exec; the pid, after its execve.

        Raises:
            StartFailed: it cannot be executed; `exec_exited` tells that exit code.
            ExecNotFound, Conflict: no such exec, or not one to start.
        """
        self._exec(exec_id)
        pid: int = (await self._call("start_exec", exec_id=exec_id))["pid"]
        self._exec_pids[exec_id] = pid
        return pid

    def exec_pid(self, exec_id: str) -> int:
        """The process id of an exec that was started; 0 of any other."""
        return self._exec_pids.get(exec_id, 0)

    async def delete_exec(self, exec_id: str) -> None:
        """Forget an ended exec; its exit code has been asked for and kept elsewhere."""
        self._exec_pids.pop(exec_id, None)
        if self._execs.pop(exec_id, None) is not None and self._connection is not None:
            await self._call("delete_exec", exec_id=exec_id)

    async def rootfs_fd(self) -> int:
        """The root directory as init sees it without its other mounts: a descriptor, the caller's.

        It must be closed before the task's exit can be told from its mount's end; `rootfs` sees to it.

        Raises:
            Conflict: the task has exited.
        """
        return await self._descriptor("rootfs")

    @asynccontextmanager
    async def rootfs(self) -> AsyncIterator[int]:
        """The root directory for the length of a block, which holds `released` back.

        Raises:
            Conflict: the task has exited.
        """
        self._rootfs_users += 1
        try:
            fd = await self._descriptor("rootfs")
            try:
                yield fd
            finally:
                os.close(fd)
        finally:
            self._rootfs_users -= 1
            self._settle_released()

    async def network_fd(self) -> int:
        """The network namespace: a descriptor, the caller's.

        Raises:
            Conflict: the task has exited, or has no network namespace of its own.
        """
        return await self._descriptor("network")

    # --- for the service -------------------------------------------------------------------------

    def adopt(
        self, connection: Connection, hello: dict[str, Any], remove: Callable[[Task], Awaitable[None]]
    ) -> None:
        """Take the state a shim's hello tells, and its connection."""
        self._connection = connection
        self._remove = remove
        self.pid = hello["pid"]
        self.started_at_ns = hello["started_at_ns"]
        self.state = hello["state"]
        for exec_id, each in hello["execs"].items():
            waiter = self._execs.setdefault(exec_id, self._loop.create_future())
            self._exec_pids[exec_id] = each["pid"]
            if each["exit"] is not None and not waiter.done():
                waiter.set_result(exit_from(each["exit"]))
        if hello["exit"] is not None:
            self._record_exit(exit_from(hello["exit"]))
        if hello["released"]:
            self._shim_released = True
            self._settle_released()

    def presume(self, record: dict[str, Any]) -> None:
        """Take the task for running: its shim does not answer, and this is what it recorded last."""
        self.state = "running"
        self.pid = record.get("pid", 0)
        self.started_at_ns = record.get("started_at_ns", 0)

    def bury(self, exit: Exit, execs: dict[str, Exit], remove: Callable[[Task], Awaitable[None]]) -> None:
        """Take the end of a task that has no shim any more, and nothing else either."""
        self._connection = None
        self._remove = remove
        for exec_id, each in execs.items():
            self._execs.setdefault(exec_id, self._loop.create_future())
            self._record_exec_exit(exec_id, each)
        lost = Exit(exit_code=137, at_ns=exit.at_ns, error=exit.error)
        for exec_id in list(self._execs):
            self._record_exec_exit(exec_id, lost)
        for number in list(self._attachments):
            self._end_attachment(number, "exited")
        self._record_exit(exit)
        self._shim_released = True
        self._settle_released()

    def take(self, message: dict[str, Any], fds: list[int]) -> None:
        """Take an event of the shim."""
        for fd in fds:
            os.close(fd)
        event = message.get("event")
        if event == "exited":
            self._record_exit(exit_from(message["exit"]))
        elif event == "released":
            self._shim_released = True
            self._settle_released()
        elif event == "exec_exited":
            self._record_exec_exit(message["exec_id"], exit_from(message["exit"]))
        elif event == "attach_ended":
            self._end_attachment(message["attach"], message["reason"])
        # Others come from a newer shim, and change nothing that is known here.

    def _record_exit(self, exit: Exit) -> None:
        self.state = "stopped"
        if not self._exited.done():
            self._exited.set_result(exit)
            self._on_event(TaskEvent(topic="exited", tenant=self.tenant, id=self.id, exit=exit))

    def _record_exec_exit(self, exec_id: str, exit: Exit) -> None:
        waiter = self._execs.get(exec_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(exit)
            self._on_event(
                TaskEvent(topic="exec_exited", tenant=self.tenant, id=self.id, exec_id=exec_id, exit=exit)
            )

    def _settle_released(self) -> None:
        if self._shim_released and not self._rootfs_users and not self._released.done():
            self._released.set_result(None)
            self._on_event(TaskEvent(topic="released", tenant=self.tenant, id=self.id))

    def _end_attachment(self, number: int, reason: AttachEnd) -> None:
        waiter = self._attachments.pop(number, None)
        if waiter is None:
            self._ended_early[number] = reason
        elif not waiter.done():
            waiter.set_result(reason)

    def _exec(self, exec_id: str) -> asyncio.Future[Exit]:
        try:
            return self._execs[exec_id]
        except KeyError:
            raise ExecNotFound(exec_id) from None

    async def _descriptor(self, call: str) -> int:
        _, fds = await self._live().call_for_descriptors(call)
        for extra in fds[1:]:
            os.close(extra)
        return fds[0]

    async def _call(self, name: str, fds: list[int] | None = None, **arguments: object) -> dict[str, Any]:
        return await self._live().call(name, fds or [], **arguments)

    def _live(self) -> Connection:
        if self._connection is None:
            raise Conflict(f"task {self.id} is not running")
        return self._connection
