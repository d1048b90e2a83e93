"""The task of one shim: its init, its execs, and the order in which it comes and goes.

    creating → created → running ⇄ paused → stopped → released

Each state is in record.json before it is told.  The exit is in exit.json, on the disk, before it is told;
only then comes what takes time: letting go of the mounts, killing what is left, removing the cgroup.
`released` is told when nothing is left, and no second overlay may be made on the same upper directory
before.  For a pid namespace of the task's own, nothing can outlive init; where it shares one, its cgroup is
killed and waited for.
"""

from __future__ import annotations

import os
import time

from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, WherryError
from wherry.logs.json_file import JsonFileWriter
from wherry.runtime.cgroups import Cgroup
from wherry.shim import making, protocol, records
from wherry.shim.helper import Helper
from wherry.shim.process import Process, Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.shim.loop import Loop

    Message = dict[str, Any]
    Tell = Callable[..., None]

_SIGKILL = 9
_MOST_ENDED_EXECS = 512
_EMPTY_POLL_S = 0.005
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class NotRunning(Conflict):
    """The task is in no state for this."""

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"task {task_id} is {state}")


class Task:
    """The task.  `tell(event, **facts)` tells every peer."""

    def __init__(self, bundle_fd: int, bundle: str, loop: Loop, creator: Helper, tell: Tell) -> None:
        self._bundle_fd = bundle_fd
        self._bundle = bundle
        self._loop = loop
        self._tell = tell
        self._creator = creator
        self._request: Message = records.read(bundle_fd, protocol.REQUEST) or {}
        self.id: str = self._request.get("id", "")
        self.state = "creating"
        self.released = False
        self.shares_pid_namespace = False  # whether processes of the task can outlive init
        self._started_at_ns = 0
        self._start_failure: WherryError | None = None
        self._parts: dict[str, int] = {}
        self._cgroup: Cgroup | None = None
        self._init = Process(
            loop, terminal=bool(self._request.get("terminal")), with_stdin=bool(self._request.get("stdin"))
        )
        self._execs: dict[str, Process] = {}
        self._exec_plans: dict[str, Message] = {}

    # --- creating --------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the container up to its start gate.

        Raises:
            StartFailed, and other kinds: nothing of it is left.
        """
        self._record()
        fault_point("shim.recorded-creating")
        self._init.log_writer = self._open_log()
        stdio = None if self._init.terminal else Stdio(with_stdin=self._init.with_stdin)
        request = {
            "bundle": self._bundle,
            "id": self.id,
            "rootfs": self._request["rootfs"],
            "seccomp_cache": self._request["seccomp_cache"],
        }
        try:
            fds = [self._bundle_fd, *(stdio.inner if stdio is not None else ())]
            made, passed = self._creator.ask(request, fds)
        finally:
            if stdio is not None:
                stdio.close_inner()
        self._parts = dict(zip(made["parts"], passed, strict=True))
        self._cgroup = Cgroup.open(made["cgroup"])
        self.shares_pid_namespace = made["shares_pid_namespace"]
        self._init.born(made, self._parts.pop("pidfd"), self._init_ended, self._creator)
        self._init.connect(stdio, self._parts.pop("console", -1))
        self.state = "created"
        self._record()
        fault_point("shim.recorded-created")

    def _open_log(self) -> JsonFileWriter | None:
        target = self._request.get("log")
        if target is None:
            return None
        return JsonFileWriter(
            target["path"],
            target["max_size_bytes"],
            target["max_files"],
            attrs=target["attrs"],
        )

    def _record(self) -> None:
        cgroup = self._cgroup.path if self._cgroup is not None else ""
        document = {
            "version": protocol.VERSION,
            "shim_pid": os.getpid(),
            "state": self.state,
            "pid": self._init.pid,
            "start_time": self._init.start_time,
            "started_at_ns": self._started_at_ns,
            "cgroup": cgroup,
            "released": self.released,
        }
        records.write(self._bundle_fd, protocol.RECORD, document)

    def hello(self) -> Message:
        """What a new peer has to know."""
        return {
            "hello": protocol.VERSION,
            "tenant": self._request.get("tenant", ""),
            "id": self.id,
            "shim_pid": os.getpid(),
            "pid": self._init.pid,
            "start_time": self._init.start_time,
            "started_at_ns": self._started_at_ns,
            "state": self.state,
            "released": self.released,
            "exit": self._init.exit,
            "log_offset": self._log_offset(),
            "execs": {
                exec_id: {"state": each.state, "pid": each.pid, "exit": each.exit}
                for exec_id, each in self._execs.items()
            },
        }

    # --- starting and ending ---------------------------------------------------------------------

    def start(self) -> Message:
        """Let init execute its program."""
        if self.state != "created" or self._start_failure is not None:
            raise NotRunning(self.id, self.state)
        fault_point("shim.starting")
        try:
            self._creator.ask({})
        except WherryError as failure:
            self._start_failure = failure
            self._init.fail()
            raise
        fault_point("shim.init-started")
        self.state = self._init.state = "running"
        self._started_at_ns = time.time_ns()
        self._record()
        fault_point("shim.recorded-running")
        return {"pid": self._init.pid, "started_at_ns": self._started_at_ns}

    def _init_ended(self, status: int) -> None:
        self._init.drain()
        failure = self._start_failure
        self._init.exit = {
            "exit_code": getattr(failure, "exit_code", 128) if failure is not None else _exit_code(status),
            "at_ns": time.time_ns(),
            "oom_killed": self._was_oom_killed(),
            "error": str(failure) if failure is not None else "",
        }
        fault_point("shim.init-ended")
        self._write_durably(protocol.EXIT, self._init.exit)
        fault_point("shim.exit-recorded")
        self.state = "stopped"
        self._tell("exited", exit=self._init.exit)
        self._init.finish()
        self._loop.call_last(self._tear_down)

    def _was_oom_killed(self) -> bool:
        try:
            return self._cgroup is not None and self._cgroup.oom_kill_count() > 0
        except OSError:
            return False

    def _write_durably(self, name: str, document: Message) -> None:
        try:
            records.write(self._bundle_fd, name, document, durable=True)
        except OSError as error:
            # Without the record a daemon that is away now will find "shim lost" later; one that is
            # connected is told all the same.
            log("error", "exit not recorded", task=self.id, error=error)

    def _tear_down(self) -> None:
        """Let go of all that can keep the mounts alive, and wait for all others to do so."""
        fault_point("shim.tearing-down")
        self._creator.end()
        for fd in self._parts.values():
            os.close(fd)
        self._parts.clear()
        fault_point("shim.unmounted")
        if self._cgroup is not None and self.shares_pid_namespace:
            self._cgroup.kill()
        self._release_when_empty()

    @property
    def children(self) -> set[int]:
        """The living processes of our own making."""
        return {each.pid for each in (self._init, *self._execs.values()) if each.pidfd >= 0}

    def _release_when_empty(self) -> None:
        if self.children or (self._cgroup is not None and self._cgroup.pids()):
            reap_orphans(self.children)
            self._loop.call_after(_EMPTY_POLL_S, self._release_when_empty)
            return
        if self._cgroup is not None:
            try:
                self._cgroup.delete()
            except (WherryError, OSError) as error:
                log("warning", "cgroup not removed", cgroup=self._cgroup.path, error=error)
        fault_point("shim.cgroup-deleted")
        self.released = True
        try:
            self._record()
        except OSError as error:
            log("error", "release not recorded", task=self.id, error=error)
        fault_point("shim.recorded-released")
        self._tell("released")

    @property
    def has_clients(self) -> bool:
        """Whether output still waits for clients to take it."""
        return bool(self._init.attachments or any(each.attachments for each in self._execs.values()))

    # --- what peers ask --------------------------------------------------------------------------

    def process(self, exec_id: str | None) -> Process:
        """Init, or an exec'd process."""
        if exec_id is None:
            return self._init
        try:
            return self._execs[exec_id]
        except KeyError:
            raise NotFound(f"exec {exec_id} not found") from None

    def kill(self, signal: int, exec_id: str | None, *, everyone: bool) -> None:
        """Send a signal; SIGKILL also reaches what is frozen."""
        cgroup = self._living_cgroup()
        if everyone:
            self._kill_all(cgroup, signal)
        else:
            self.process(exec_id).signal(signal)
        if signal == _SIGKILL and self.state == "paused" and exec_id is None:
            cgroup.thaw()
            self.state = "running"

    def _kill_all(self, cgroup: Cgroup, signal: int) -> None:
        if signal == _SIGKILL:
            cgroup.kill()
            return
        for pid in cgroup.pids():
            try:
                os.kill(pid, signal)
            except ProcessLookupError:
                pass

    def pause(self) -> None:
        """Freeze."""
        if self.state != "running":
            raise NotRunning(self.id, self.state)
        self._living_cgroup().freeze()
        fault_point("shim.frozen")
        self.state = "paused"
        self._record()

    def resume(self) -> None:
        """Thaw."""
        if self.state != "paused":
            raise NotRunning(self.id, self.state)
        self._living_cgroup().thaw()
        fault_point("shim.thawed")
        self.state = "running"
        self._record()

    def pids(self) -> list[int]:
        """All processes of the task."""
        return self._living_cgroup().pids()

    def stats(self) -> Message:
        """What the cgroup counts."""
        return self._living_cgroup().stats()

    def update(self, resources: Message) -> None:
        """Change the cgroup's limits."""
        self._living_cgroup().apply(resources)

    def rootfs(self) -> int:
        """The root directory's descriptor, which stays this task's."""
        return self._part("rootfs")

    def network(self) -> int:
        """The network namespace's descriptor, which stays this task's."""
        return self._part("network")

    def _part(self, name: str) -> int:
        try:
            return self._parts[name]
        except KeyError:
            raise NotRunning(self.id, self.state) from None

    def sync_log(self) -> int:
        """The log's size with all whole lines read so far in it."""
        return self._log_offset() or 0

    def _log_offset(self) -> int | None:
        target = self._request.get("log")
        if target is None:
            return None
        try:
            return os.stat(target["path"]).st_size
        except OSError:
            return 0

    def _living_cgroup(self) -> Cgroup:
        if self._cgroup is None or self.state in ("creating", "stopped"):
            raise NotRunning(self.id, self.state)
        return self._cgroup

    # --- execs -----------------------------------------------------------------------------------

    def create_exec(self, exec_id: str, plan: Message, *, terminal: bool, with_stdin: bool) -> None:
        """Announce an exec, so that clients can attach to it."""
        if not exec_id or exec_id[0] == "." or len(exec_id) > 128 or not _SAFE.issuperset(exec_id):
            raise InvalidArgument(f"invalid exec id {exec_id!r}")
        if exec_id in self._execs:
            raise AlreadyExists(f"exec {exec_id} already exists")
        if self.state not in ("running", "paused"):
            raise NotRunning(self.id, self.state)
        self._forget_oldest_execs()
        self._execs[exec_id] = Process(self._loop, terminal=terminal, with_stdin=with_stdin)
        self._exec_plans[exec_id] = plan

    def start_exec(self, exec_id: str) -> Message:
        """Run an announced exec."""
        each = self.process(exec_id)
        if each.state != "created":
            raise Conflict(f"exec {exec_id} is {each.state}")
        if self.state != "running":
            raise NotRunning(self.id, self.state)
        fault_point("shim.exec-starting")
        plan = self._exec_plans.pop(exec_id)
        each.state = "running"
        try:
            self._run_exec(exec_id, each, plan)
        except Exception as error:
            each.fail()
            self._exec_failed(exec_id, each, error)
            raise
        fault_point("shim.exec-started")
        return {"pid": each.pid}

    def _run_exec(self, exec_id: str, each: Process, plan: Message) -> None:
        cgroup = self._living_cgroup()
        stdio = None if each.terminal else Stdio(with_stdin=each.with_stdin)
        helper = Helper(
            lambda sock: making.run_exec(
                sock,
                plan,
                bundle_fd=self._bundle_fd,
                container_id=self.id,
                init=(self._init.pid, self._init.pidfd),
                cgroup=cgroup,
                stdio=stdio.inner if stdio is not None else None,
                seccomp_cache=self._request["seccomp_cache"],
            )
        )
        try:
            made, passed = helper.hear()
        except BaseException:
            if stdio is not None:
                stdio.close_outer()
            raise
        finally:
            helper.end()
            if stdio is not None:
                stdio.close_inner()
        parts = dict(zip(made["parts"], passed, strict=True))
        each.born(made, parts["pidfd"], lambda status: self._exec_ended(exec_id, status))
        each.connect(stdio, parts.get("console", -1))

    def _exec_failed(self, exec_id: str, each: Process, error: Exception) -> None:
        exit_code = getattr(error, "exit_code", 128)
        self._tell_exec_exit(exec_id, each, exit_code, str(error))

    def _exec_ended(self, exec_id: str, status: int) -> None:
        each = self._execs[exec_id]
        each.drain()
        fault_point("shim.exec-ended")
        self._tell_exec_exit(exec_id, each, _exit_code(status), "")
        each.finish()

    def _tell_exec_exit(self, exec_id: str, each: Process, exit_code: int, error: str) -> None:
        each.exit = {"exit_code": exit_code, "at_ns": time.time_ns(), "oom_killed": False, "error": error}
        directory_fd = self._exec_directory()
        try:
            records.write(directory_fd, f"{exec_id}.json", each.exit, durable=True)
        except OSError as failure:
            log("error", "exec exit not recorded", task=self.id, exec=exec_id, error=failure)
        finally:
            os.close(directory_fd)
        fault_point("shim.exec-recorded")
        self._tell("exec_exited", exec_id=exec_id, exit=each.exit)

    def _exec_directory(self) -> int:
        try:
            os.mkdir(protocol.EXECS, 0o700, dir_fd=self._bundle_fd)
        except FileExistsError:
            pass
        return os.open(protocol.EXECS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._bundle_fd)

    def delete_exec(self, exec_id: str) -> None:
        """Forget an exec that has ended, or never started."""
        each = self.process(exec_id)
        if each.state == "running":
            raise Conflict(f"exec {exec_id} is running")
        if each.state == "created":
            each.fail()
        try:
            os.unlink(f"{protocol.EXECS}/{exec_id}.json", dir_fd=self._bundle_fd)
        except FileNotFoundError:
            pass
        self._exec_plans.pop(exec_id, None)
        del self._execs[exec_id]

    def _forget_oldest_execs(self) -> None:
        # Exits that nobody asks for must not fill the memory of a task that runs for years.
        ended = [exec_id for exec_id, each in self._execs.items() if each.state == "stopped"]
        for exec_id in ended[: max(0, len(ended) - _MOST_ENDED_EXECS)]:
            self.delete_exec(exec_id)


def reap_orphans(known: set[int]) -> None:
    """Reap children other than `known`: orphans of the task, which come to us as the subreaper."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:  # one of ours is reaped through its pidfd, and soon
            return
        os.waitpid(found.si_pid, 0)


def _exit_code(status: int) -> int:
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)
