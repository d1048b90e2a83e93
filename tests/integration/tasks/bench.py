"""A task service of its own for each test, with a root directory, and proof that nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fakes.spec import docker_style_spec

from wherry.core.mounts import Mount, overlay
from wherry.core.tasks import CreateTask, Exit, LogTarget, Task, TaskEvent, TaskService
from wherry.core.threads import Threads
from wherry.errors import Conflict
from wherry.linux import cgroupfs
from wherry.runtime.cgroups import Cgroup

TENANT = "test"
DEADLINE_S = 30
SPARE_READY_S = 0.1


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine to its end, within the deadline."""

    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test()

    asyncio.run(bounded())


class Bench:
    """A service whose tasks all end with it."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        self.exec_root = path / "exec"
        self.parent = f"/wherry-test-{uuid.uuid4().hex[:8]}"
        self.events: list[TaskEvent] = []
        self.threads = Threads()
        self.service = self.new_service()
        self._layers = 0
        self._clients: list[Client] = []

    def client(self) -> Client:
        self._clients.append(Client())
        return self._clients[-1]

    def new_service(self) -> TaskService:
        return TaskService(
            exec_root=self.exec_root,
            seccomp_cache=self.path / "seccomp",
            threads=self.threads,
            on_event=self.events.append,
        )

    async def __aenter__(self) -> Bench:
        await self.service.start_spawner()
        await asyncio.sleep(SPARE_READY_S)  # the usual case: a start that finds a spare shim and init
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        for task in self.service.list():
            await end(task)
        await self.service.close()
        self.threads.close()
        remove_cgroups(self.parent)

    async def restart(self) -> Sequence[Task]:
        """Go on with a new service, as after a restart of the daemon."""
        await self.service.close()
        self.service = self.new_service()
        await self.service.start_spawner()
        return await self.service.recover()

    def writable(self) -> Mount:
        """A fresh writable layer on the root directory."""
        self._layers += 1
        upper, work = self.path / f"upper-{self._layers}", self.path / f"work-{self._layers}"
        upper.mkdir()
        work.mkdir()
        return overlay([str(self.root)], upper=str(upper), work=str(work))

    async def create(
        self,
        *args: str,
        task_id: str = "",
        rootfs: Mount | None = None,
        terminal: bool = False,
        stdin: bool = False,
        log: bool = False,
        **options: Any,
    ) -> Task:
        task_id = task_id or uuid.uuid4().hex
        options.setdefault("time_namespace", True)
        options.setdefault("cgroups_path", f"{self.parent}/{task_id}")
        return await self.service.create(
            CreateTask(
                tenant=TENANT,
                id=task_id,
                spec=docker_style_spec(*args, terminal=terminal, **options),
                rootfs=[rootfs or self.writable()],
                terminal=terminal,
                stdin=stdin,
                log=LogTarget(path=str(self.path / f"{task_id}.log")) if log else None,
            )
        )

    async def start(self, *args: str, **options: Any) -> Task:
        task = await self.create(*args, **options)
        await task.start()
        return task

    async def run(self, *args: str, **options: Any) -> Exit:
        task = await self.start(*args, **options)
        ended = await task.exited
        await task.delete()
        return ended

    def bundle(self, task: Task) -> Path:
        return self.exec_root / "tasks" / task.tenant / task.id

    def cgroup_of(self, task: Task) -> Cgroup:
        return Cgroup.open(f"{self.parent}/{task.id}")


async def end(task: Task) -> None:
    """Kill and delete, whatever the state."""
    try:
        await task.kill(9)
    except Conflict:
        pass  # ended meanwhile
    await task.exited
    await task.delete()


class Client:
    """The other side of an attachment: a client with a socket of its own."""

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair()
        self.socket.setblocking(False)

    async def attach(self, task: Task, **options: Any) -> asyncio.Future[Any]:
        """Attach to the task; this process keeps no copy of the task's side."""
        options = {"stdin": False, "stdout": True, "stderr": True, "framed": False} | options
        try:
            return await task.attach(self.theirs.fileno(), **options)
        finally:
            self.theirs.close()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def close_input(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    async def read(self, limit: int = 65536) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, limit)

    async def read_until(self, expected: bytes) -> bytes:
        data = b""
        while expected not in data:
            more = await self.read()
            assert more, f"the stream ended before {expected!r}: {data!r}"
            data += more
        return data

    async def read_all(self) -> bytes:
        parts = []
        while data := await self.read(1 << 20):
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        self.socket.close()
        self.theirs.close()


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a multiplexed stream; nothing may be left over."""
    found = []
    while data:
        length = int.from_bytes(data[4:8], "big")
        found.append((data[0], data[8 : 8 + length]))
        assert len(found[-1][1]) == length
        data = data[8 + length :]
    return found


def stream_of(data: bytes, number: int) -> bytes:
    """The bytes of one stream of a multiplexed one."""
    return b"".join(payload for stream, payload in frames(data) if stream == number)


def is_running(pid: int) -> bool:
    """Whether `pid` is a process that is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def remove_cgroups(parent: str) -> None:
    """Remove the tests' parent group, which must be empty."""
    layout = cgroupfs.layout()
    tops = {*layout.mounts.values(), *([layout.unified] if layout.unified else [])}
    for top in tops:
        if os.path.isdir(top + parent):
            assert not [name for name in os.listdir(top + parent) if os.path.isdir(top + parent + "/" + name)]
            os.rmdir(top + parent)
