"""The task service: makes shims through the spawner, keeps their connections, finds them again."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from wherry.core.tasks import bundle
from wherry.core.tasks.connection import Connection, failure
from wherry.core.tasks.spawner import Spawner
from wherry.core.tasks.task import Task, exit_from
from wherry.core.tasks.values import SHIM_LOST, CreateTask, Exit, TaskEvent, TaskNotFound
from wherry.core.threads import Threads
from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.errors import Unavailable, WherryError
from wherry.shim import protocol

T = TypeVar("T")

HELLO_TIMEOUT_S = 60.0
RECOVER_TIMEOUT_S = 30.0
REJOIN_TIMEOUT_S = 10.0


class TaskService:
    """The tasks of one exec root.  `on_event`, when set, is called in the loop for every event.

    `spawner_cgroup` is the directory of the control group that the spawner and the shims live in.
    """

    def __init__(
        self,
        *,
        exec_root: Path,
        seccomp_cache: Path,
        threads: Threads,
        spawner_command: list[str] | None = None,
        spawner_cgroup: Path | None = None,
        on_event: Callable[[TaskEvent], None] | None = None,
    ) -> None:
        self.on_event = on_event
        self._root = exec_root / "tasks"
        self._seccomp_cache = seccomp_cache
        self._threads = threads
        self._spawner = Spawner(spawner_command, spawner_cgroup)
        self._tasks: dict[tuple[str, str], Task] = {}
        self._works: set[asyncio.Task[Any]] = set()
        self._conversations: set[_Conversation] = set()
        self._closed = False

    async def start_spawner(self) -> None:
        """Have a warm spawner before the first request.

        Raises:
            Unavailable: it does not start.
        """
        await self._threads.disk(self._root.mkdir, 0o700, True, True)
        await self._spawner.connection()

    @property
    def spawner_pid(self) -> int:
        """The spawner's process id, 0 when there is none at the moment."""
        return self._spawner.pid

    async def close(self) -> None:
        """Let go of spawner and shims: the spawner ends, the tasks go on."""
        self._closed = True
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)
        for conversation in self._conversations:
            conversation.close()
        self._conversations.clear()
        self._tasks.clear()
        await self._spawner.close()

    def get(self, tenant: str, task_id: str) -> Task:
        """The task of this id.

        Raises:
            TaskNotFound: never created, or deleted.
        """
        try:
            return self._tasks[tenant, task_id]
        except KeyError:
            raise TaskNotFound(tenant, task_id) from None

    def list(self, tenant: str | None = None) -> Sequence[Task]:
        """All tasks, or those of one tenant."""
        return [task for task in self._tasks.values() if tenant in (None, task.tenant)]

    async def operation(
        self, name: str, arguments: dict[str, Any], fds: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Run one of `wherry.spawner.operations` in a child of the spawner; copies of `fds` go along.

        Raises:
            Unavailable: the spawner died meanwhile; whether the operation happened is unknown.
        """
        spawner = await self._spawner.connection()
        answer = await spawner.call("operation", fds, operation=name, arguments=arguments)
        result: dict[str, Any] = answer["result"]
        return result

    async def create(self, request: CreateTask) -> Task:
        """Create a task up to the point where `start` lets its program run.

        When the caller is cancelled, the task is made all the same, and deleted at once.

        Raises:
            BundleExists: a task of this id is there.
            StartFailed: the container cannot be made; nothing of it is left.
        """
        making = self._work(self._create(request))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            if not making.cancelled():
                self._work(self._discard(making))
            raise

    async def _create(self, request: CreateTask) -> Task:
        path = bundle.bundle_path(self._root, request.tenant, request.id)
        await self._threads.disk(bundle.write_bundle, path, request, str(self._seccomp_cache))
        fault_point("tasks.bundle-written")
        task = Task(request.tenant, request.id, on_event=self._tell)
        try:
            await self._create_shim(task, path)
        except Exception:
            await self._undo_create(path)
            raise
        self._tasks[task.tenant, task.id] = task
        return task

    async def recover(self, *, answer_timeout_s: float = REJOIN_TIMEOUT_S) -> Sequence[Task]:
        """Find every task of this exec root again; for the start of the daemon.

        A task whose shim is gone is cleaned up first and comes back stopped.  One whose shim does not
        answer in time, or that cannot be cleaned up yet, is taken for running and tried again on the
        side: it must not keep the daemon from the others.
        """
        paths = await self._threads.disk(lambda: list(bundle.find_bundles(self._root)))
        tasks = await asyncio.gather(*(self._recover_one(path, answer_timeout_s) for path in paths))
        for task in tasks:
            self._tasks[task.tenant, task.id] = task
        return tasks

    # --- creating --------------------------------------------------------------------------------

    async def _create_shim(self, task: Task, path: Path) -> None:
        for _ in range(2):
            if await self._ask_for_shim(task, path):
                return
            # The spawner died with the request.  Without a record no shim has come to be, and the lock
            # keeps a late one out, so asking again cannot make two.
            if (path / protocol.RECORD).exists() or bundle.is_locked(path):
                break
        raise Unavailable(f"cannot create task {task.id}: the shim ended before it was ready")

    async def _ask_for_shim(self, task: Task, path: Path) -> bool:
        spawner = await self._spawner.connection()
        conversation = self._converse(task, None)
        try:
            fault_point("tasks.shim-requested")
            await spawner.call(
                "start_shim",
                [conversation.theirs.fileno()],
                tenant=task.tenant,
                id=task.id,
                bundle=str(path),
            )
        except Unavailable:
            pass  # what became of the request is told by the shim's own connection
        except BaseException:
            conversation.close()
            raise
        finally:
            conversation.theirs.close()
        return await conversation.wait_hello()

    async def _discard(self, making: asyncio.Task[Task]) -> None:
        """Delete the task that is being made: nobody waits for it any more."""
        try:
            task = await making
            await task.kill(9)
            await task.exited
            await task.delete()
        except WherryError as error:
            log("debug", "unwanted task not made", error=error)

    async def _undo_create(self, path: Path) -> None:
        try:
            await self._clean(path)
            await self._threads.disk(bundle.remove_bundle, path)
        except (WherryError, OSError) as error:
            log("warning", "task not cleaned up", bundle=path, error=error)

    # --- finding again ---------------------------------------------------------------------------

    async def _recover_one(self, path: Path, timeout_s: float) -> Task:
        task = Task(path.parent.name, path.name, on_event=self._tell)
        try:
            await self._rejoin(task, path, timeout_s)
        except (WherryError, OSError) as error:
            log("error", "task not rejoined yet", task=task.id, error=error)
            task.presume(await self._threads.disk(bundle.read_record, path))
            self._work(self._rejoin_later(task, path))
        return task

    async def _rejoin_later(self, task: Task, path: Path) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                await self._rejoin(task, path, HELLO_TIMEOUT_S)
                return
            except (WherryError, OSError) as error:
                log("error", "task not rejoined yet", task=task.id, error=error)

    async def _rejoin(self, task: Task, path: Path, timeout_s: float) -> None:
        deadline = time.monotonic() + RECOVER_TIMEOUT_S
        while True:
            sock = await self._threads.disk(_connect, path)
            if sock is not None:
                if await self._converse(task, sock).wait_hello(timeout_s):
                    return
            elif not bundle.is_locked(path) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        await self._bury(task, path)

    async def _bury(self, task: Task, path: Path) -> None:
        """Clean up after a shim that is gone, and end its task."""
        recorded, execs = await self._clean(path)
        task.bury(recorded, execs, self._remove)

    async def _clean(self, path: Path) -> tuple[Exit, dict[str, Exit]]:
        answer = await self.operation("clean_bundle", {"bundle": str(path)})
        execs = {exec_id: exit_from(each) for exec_id, each in answer["execs"].items()}
        return exit_from(answer["exit"]), execs

    def _shim_ended(self, task: Task) -> None:
        """The connection of `task` ended: its shim is dead, or this process let go of it."""
        if self._closed or task.deleting:
            return
        self._work(self._bury_lost(task))

    def _work(self, steps: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Carry out `steps` on the side; `close` cancels and awaits them."""
        work = asyncio.get_running_loop().create_task(steps)
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        return work

    async def _bury_lost(self, task: Task) -> None:
        log("warning", SHIM_LOST, tenant=task.tenant, task=task.id, pid=task.pid)
        path = bundle.bundle_path(self._root, task.tenant, task.id)
        while True:
            try:
                await self._bury(task, path)
                return
            except (WherryError, OSError) as error:
                if not path.exists():  # cleaned up meanwhile, as a failed create is: nothing is left to end
                    lost = Exit(exit_code=137, at_ns=time.time_ns(), error=SHIM_LOST)
                    task.bury(lost, {}, self._remove)
                    return
                log("error", "lost task not cleaned up", task=task.id, error=error)
                await asyncio.sleep(1)

    async def _remove(self, task: Task) -> None:
        path = bundle.bundle_path(self._root, task.tenant, task.id)
        fault_point("tasks.shim-ended")
        doomed = await self._threads.disk(bundle.retire_bundle, path)
        self._tasks.pop((task.tenant, task.id), None)
        # Nobody has to wait for the rest; what a crash leaves of it, the next start removes.
        self._work(self._threads.disk(bundle.empty_retired, doomed))

    def _converse(self, task: Task, sock: socket.socket | None) -> _Conversation:
        self._conversations = {each for each in self._conversations if not each.ended}
        conversation = _Conversation(task, sock, remove=self._remove, on_end=self._shim_ended)
        self._conversations.add(conversation)
        return conversation

    def _tell(self, event: TaskEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)


class _Conversation:
    """A connection to a shim from before its hello.  With the hello it belongs to the task."""

    def __init__(
        self,
        task: Task,
        sock: socket.socket | None,
        *,
        remove: Callable[[Task], Awaitable[None]],
        on_end: Callable[[Task], None],
    ) -> None:
        self._task = task
        self._remove = remove
        self._on_end = on_end
        self._hello: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        if sock is None:
            sock, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection = Connection(sock, peer="shim", on_message=self._message, on_end=self._end)

    async def wait_hello(self, timeout_s: float = HELLO_TIMEOUT_S) -> bool:
        """Whether a shim said hello; False when there is none.

        Raises:
            StartFailed, and other kinds: the shim could not create the task, and is gone.
            Unavailable: no word in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                hello = await self._hello
        except BaseException as error:
            self._connection.close()
            if isinstance(error, TimeoutError):
                raise Unavailable(f"the shim of task {self._task.id} does not answer") from None
            raise
        if hello is not None and "failed" in hello:
            raise failure(hello["failed"])
        return hello is not None

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to close."""
        return self._connection.ended

    def close(self) -> None:
        """Break off; the shim goes on."""
        self._connection.close()

    def _message(self, message: dict[str, Any], fds: list[int]) -> None:
        if self._hello.done():
            self._task.take(message, fds)
            return
        for fd in fds:
            os.close(fd)
        if "failed" in message:
            self._connection.close()
        else:
            self._task.adopt(self._connection, message, self._remove)
        self._hello.set_result(message)

    def _end(self) -> None:
        if self._hello.done():
            self._on_end(self._task)
        else:
            self._hello.set_result(None)


def _connect(path: Path) -> socket.socket | None:
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return socket.socket(fileno=protocol.connect(fd).detach())
    except OSError:
        return None
    finally:
        os.close(fd)
