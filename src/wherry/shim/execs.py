"""The execs of a task: announced, run, ended, and kept until somebody has asked for the exit.

An exit is in the bundle before it is told, so that it outlives daemon, spawner and shim.
"""

from __future__ import annotations

import os
import time

from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.errors import AlreadyExists, Conflict, InvalidArgument, NotFound
from wherry.shim import making, protocol, records
from wherry.shim.helper import Helper, HelperDied
from wherry.shim.process import Process, Stdio, exit_code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from wherry.shim.loop import Loop
    from wherry.shim.task import Task

    Message = dict[str, Any]

_MOST_ENDED = 512
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Execs:
    """The execs of `task`."""

    __slots__ = ("_loop", "_plans", "_processes", "_task", "_tell")

    def __init__(self, task: Task, loop: Loop, tell: Callable[..., None]) -> None:
        self._task = task
        self._loop = loop
        self._tell = tell
        self._processes: dict[str, Process] = {}
        self._plans: dict[str, Message] = {}  # of those not yet started

    def all(self) -> Iterable[tuple[str, Process]]:
        """Every exec with its id, those that have ended too."""
        return self._processes.items()

    def get(self, exec_id: str) -> Process:
        """The exec of this id.

        Raises:
            NotFound: never announced, or forgotten.
        """
        try:
            return self._processes[exec_id]
        except KeyError:
            raise NotFound(f"exec {exec_id} not found") from None

    def create(self, exec_id: str, plan: Message, *, terminal: bool, with_stdin: bool) -> None:
        """Announce an exec, so that clients can attach to it."""
        if not exec_id or exec_id[0] == "." or len(exec_id) > 128 or not _SAFE.issuperset(exec_id):
            raise InvalidArgument(f"invalid exec id {exec_id!r}")
        if exec_id in self._processes:
            raise AlreadyExists(f"exec {exec_id} already exists")
        self._task.require_state("running", "paused")
        self._forget_oldest()
        self._processes[exec_id] = Process(self._loop, terminal=terminal, with_stdin=with_stdin)
        self._plans[exec_id] = plan

    def start(self, exec_id: str) -> Message:
        """Run an announced exec."""
        each = self.get(exec_id)
        if each.state != "created":
            raise Conflict(f"exec {exec_id} is {each.state}")
        self._task.require_state("running")
        fault_point("shim.exec-starting")
        plan = self._plans.pop(exec_id)
        each.state = "running"
        try:
            self._run(exec_id, each, plan)
        except Exception as error:
            each.fail()
            self._failed(exec_id, each, error)
            raise
        fault_point("shim.exec-started")
        return {"pid": each.pid}

    def _run(self, exec_id: str, each: Process, plan: Message) -> None:
        cgroup = self._task.living_cgroup()
        stdio = None if each.terminal else Stdio(with_stdin=each.with_stdin)
        helper = Helper(
            lambda sock: making.run_exec(
                sock,
                plan,
                bundle_fd=self._task.bundle_fd,
                container_id=self._task.id,
                init=(self._task.init.pid, self._task.init.pidfd),
                cgroup=cgroup,
                stdio=stdio.inner if stdio is not None else None,
                seccomp_cache=self._task.seccomp_cache,
            )
        )
        try:
            made, passed = helper.hear()
        except BaseException as error:
            if stdio is not None:
                stdio.close_outer()
            if isinstance(error, HelperDied):
                self._loop.call_last(self._task.end_orphans)
            raise
        finally:
            helper.end()
            if stdio is not None:
                stdio.close_inner()
        parts = dict(zip(made["parts"], passed, strict=True))
        each.born(made, parts["pidfd"], lambda status: self._ended(exec_id, status))
        each.connect(stdio, parts.get("console", -1))

    def _failed(self, exec_id: str, each: Process, error: Exception) -> None:
        exit_code = getattr(error, "exit_code", 128)
        self._tell_exit(exec_id, each, exit_code, str(error))

    def _ended(self, exec_id: str, status: int) -> None:
        each = self._processes[exec_id]
        each.drain()
        fault_point("shim.exec-ended")
        self._tell_exit(exec_id, each, exit_code_of(status), "")
        each.finish()

    def _tell_exit(self, exec_id: str, each: Process, exit_code: int, error: str) -> None:
        each.exit = {"exit_code": exit_code, "at_ns": time.time_ns(), "oom_killed": False, "error": error}
        directory_fd = self._directory()
        try:
            records.write(directory_fd, f"{exec_id}.json", each.exit)
        except OSError as failure:
            log("error", "exec exit not recorded", task=self._task.id, exec=exec_id, error=failure)
        finally:
            os.close(directory_fd)
        fault_point("shim.exec-recorded")
        self._tell("exec_exited", exec_id=exec_id, exit=each.exit)

    def _directory(self) -> int:
        try:
            os.mkdir(protocol.EXECS, 0o700, dir_fd=self._task.bundle_fd)
        except FileExistsError:
            pass
        return os.open(
            protocol.EXECS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._task.bundle_fd
        )

    def delete(self, exec_id: str) -> None:
        """Forget an exec that has ended, or never started."""
        each = self.get(exec_id)
        if each.state == "running":
            raise Conflict(f"exec {exec_id} is running")
        if each.state == "created":
            each.fail()
        try:
            os.unlink(f"{protocol.EXECS}/{exec_id}.json", dir_fd=self._task.bundle_fd)
        except FileNotFoundError:
            pass
        self._plans.pop(exec_id, None)
        del self._processes[exec_id]

    def _forget_oldest(self) -> None:
        # Exits that nobody asks for must not fill the memory of a task that runs for years.
        ended = [exec_id for exec_id, each in self._processes.items() if each.state == "stopped"]
        for exec_id in ended[: max(0, len(ended) - _MOST_ENDED)]:
            self.delete(exec_id)
