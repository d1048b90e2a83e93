"""Tasks without processes: what core's task service promises, under a test's control.

A test ends a task with `exit`, and makes a step fail by putting its error into `failures`
under the step's name: "create", "start", "kill", "delete", "attach", "start_exec".
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from wherry.core.tasks import CreateTask, ExecNotFound, Exit, TaskNotFound
from wherry.errors import Conflict


class FakeTask:
    """One task.  SIGKILL ends it at once, other signals only if `ends_on` has them."""

    def __init__(self, service: FakeTasks, request: CreateTask) -> None:
        self.service = service
        self.request = request
        self.tenant, self.id = request.tenant, request.id
        self.pid = 4242
        self.started_at_ns = 0
        self.state = "created"
        self.ends_on: set[int] = set()
        self.signals: list[int] = []
        self.attached: list[dict[str, Any]] = []
        self.resized: list[tuple[int, int]] = []
        self._exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._execs: dict[str, asyncio.Future[Exit]] = {}
        self._ends: list[asyncio.Future[str]] = []

    @property
    def exited(self) -> asyncio.Future[Exit]:
        return asyncio.shield(self._exited)

    @property
    def released(self) -> asyncio.Future[None]:
        return asyncio.shield(self._released)

    @property
    def execs(self) -> list[str]:
        return list(self._execs)

    def exit(self, code: int, *, after_ns: int = 0, oom: bool = False, error: str = "") -> None:
        """End the task, as if it had run for `after_ns`."""
        self.state = "stopped"
        at_ns = self.started_at_ns + after_ns if after_ns else time.time_ns()
        self._exited.set_result(Exit(exit_code=code, at_ns=at_ns, oom_killed=oom, error=error))
        self._released.set_result(None)
        for end in self._ends:
            if not end.done():
                end.set_result("exited")

    async def start(self) -> None:
        self.service.check("start")
        self.state = "running"
        self.started_at_ns = time.time_ns()

    async def kill(self, signal: int, *, exec_id: str | None = None, all: bool = False) -> None:
        self.service.check("kill")
        if self.state == "stopped":
            raise Conflict(f"task {self.id} is not running")
        self.signals.append(signal)
        if signal == 9 or signal in self.ends_on:
            self.exit(128 + signal)

    async def pause(self) -> None:
        self.state = "paused"

    async def resume(self) -> None:
        self.state = "running"

    async def delete(self) -> None:
        self.service.check("delete")
        if self.state == "created":
            await self.kill(9)
        await self.released
        self.service.forget(self)

    async def resize(self, rows: int, columns: int, exec_id: str | None = None) -> None:
        self.resized.append((rows, columns))

    async def pids(self) -> list[int]:
        return [self.pid]

    async def log_position(self) -> int:
        return 0

    async def attach(self, sock_fd: int, **options: Any) -> asyncio.Future[str]:
        self.service.check("attach")
        self.attached.append(options)
        end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ends.append(end)
        return end

    async def create_exec(self, exec_id: str, process: dict[str, Any], **_options: Any) -> None:
        self._execs[exec_id] = asyncio.get_running_loop().create_future()

    async def start_exec(self, exec_id: str) -> int:
        self.service.check("start_exec")
        return 4343

    def exec_exited(self, exec_id: str) -> asyncio.Future[Exit]:
        try:
            return asyncio.shield(self._execs[exec_id])
        except KeyError:
            raise ExecNotFound(exec_id) from None

    def end_exec(self, exec_id: str, code: int) -> None:
        """End an exec."""
        self._execs[exec_id].set_result(Exit(exit_code=code, at_ns=time.time_ns()))

    async def delete_exec(self, exec_id: str) -> None:
        self._execs.pop(exec_id, None)

    @asynccontextmanager
    async def rootfs(self) -> AsyncIterator[int]:
        fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)


class FakeTasks:
    """The task service of a test; `survivors` are what `recover` finds."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.survivors: list[FakeTask] = []
        self.tasks: dict[str, FakeTask] = {}

    def check(self, step: str) -> None:
        """Fail if the test wants the step to."""
        if step in self.failures:
            raise self.failures[step]

    def forget(self, task: FakeTask) -> None:
        self.tasks.pop(task.id, None)

    async def create(self, request: CreateTask) -> FakeTask:
        self.check("create")
        task = FakeTask(self, request)
        self.tasks[request.id] = task
        return task

    def get(self, tenant: str, task_id: str) -> FakeTask:
        try:
            return self.tasks[task_id]
        except KeyError:
            raise TaskNotFound(tenant, task_id) from None

    def list(self, tenant: str | None = None) -> Sequence[FakeTask]:
        return list(self.tasks.values())

    async def recover(self) -> Sequence[FakeTask]:
        return self.survivors
