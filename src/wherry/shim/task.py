"""The task of one shim: its init, its execs, and the order in which it comes and goes.

    creating → created → running ⇄ paused → stopped → released

Each state is in record.json before it is told.  The exit is in exit.json before it is told;
only then comes what takes time: letting go of the mounts, killing what is left, removing the cgroup.
`released` is told when nothing is left, and no second overlay may be made on the same upper directory
before.  In a pid namespace of the task's own nothing outlives init; where it shares one, its cgroup is killed
and waited for.
"""

from __future__ import annotations

import os
import time

from wherry.diagnostics.faults import fault_point
from wherry.diagnostics.logs import log
from wherry.errors import Conflict, WherryError
from wherry.linux import process
from wherry.logs.json_file import JsonFileWriter
from wherry.runtime.cgroups import Cgroup
from wherry.shim import learned, protocol, records
from wherry.shim.execs import Execs
from wherry.shim.helper import Helper
from wherry.shim.loop import READABLE
from wherry.shim.process import Process, Stdio, exit_code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wherry.shim.loop import Loop

    Message = dict[str, Any]
    Tell = Callable[..., None]

_SIGKILL = 9
_EMPTY_POLL_S = 0.002
_ORPHAN_POLL_S = 0.01


class WrongState(Conflict):
    """The task is in no state for this."""

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"task {task_id} is {state}")


class Task:
    """The task.  `tell(event, **facts)` tells every peer."""

    def __init__(self, bundle_fd: int, bundle: str, loop: Loop, creator: Helper, tell: Tell) -> None:
        self.bundle_fd = bundle_fd
        self._bundle = bundle
        self._loop = loop
        self._tell = tell
        self._creator = creator
        self._request: Message = records.read(bundle_fd, protocol.REQUEST) or {}
        self.id: str = self._request.get("id", "")
        self.seccomp_cache: str | None = self._request.get("seccomp_cache")
        self.state = "creating"
        self.released = False
        self.shares_pid_namespace = False  # whether processes of the task can outlive init
        self._started_at_ns = 0
        self._start_failure: WherryError | None = None
        self._parts: dict[str, int] = {}
        self._cgroup: Cgroup | None = None
        self.init = Process(
            loop, terminal=bool(self._request.get("terminal")), with_stdin=bool(self._request.get("stdin"))
        )
        self.execs = Execs(self, loop, tell)

    # --- creating --------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the container up to its start gate.

        Raises:
            StartFailed, and other kinds: nothing of it is left.
        """
        self._record()
        fault_point("shim.recorded-creating")
        self.init.log_writer = self._open_log()
        stdio = None if self.init.terminal else Stdio(with_stdin=self.init.with_stdin)
        request = {
            "bundle": self._bundle,
            "id": self.id,
            "rootfs": self._request["rootfs"],
            "seccomp_cache": self.seccomp_cache,
        }
        try:
            fds = [self.bundle_fd, *(stdio.inner if stdio is not None else ())]
            made, passed = self._creator.ask(request, fds)
        finally:
            if stdio is not None:
                stdio.close_inner()
        self._parts = dict(zip(made["parts"], passed, strict=True))
        self._cgroup = Cgroup.open(made["cgroup"])
        self.shares_pid_namespace = made["shares_pid_namespace"]
        self.init.born(made, self._parts.pop("pidfd"), self._init_ended, self._end_creator)
        self.init.connect(stdio, self._parts.pop("console", -1))
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
            "pid": self.init.pid,
            "start_time": self.init.start_time,
            "started_at_ns": self._started_at_ns,
            "cgroup": cgroup,
            "released": self.released,
        }
        records.write(self.bundle_fd, protocol.RECORD, document)

    def hello(self) -> Message:
        """What a new peer has to know."""
        return {
            "hello": protocol.VERSION,
            "tenant": self._request.get("tenant", ""),
            "id": self.id,
            "shim_pid": os.getpid(),
            "pid": self.init.pid,
            "start_time": self.init.start_time,
            "started_at_ns": self._started_at_ns,
            "state": self.state,
            "released": self.released,
            "exit": self.init.exit,
            "log_offset": self._log_offset(),
            "execs": {
                exec_id: {"state": each.state, "pid": each.pid, "exit": each.exit}
                for exec_id, each in self.execs.all()
            },
        }

    # --- starting and ending ---------------------------------------------------------------------

    def start(self) -> Message:
        """Let init execute its program."""
        self.require_state("created")
        if self._start_failure is not None:
            raise self._start_failure
        fault_point("shim.starting")
        self._loop.watch(self._creator.fileno(), READABLE, self._end_creator)
        try:
            self._creator.ask({})
        except WherryError as failure:
            self._start_failure = failure
            self.init.fail()
            raise
        fault_point("shim.init-started")
        self.state = self.init.state = "running"
        self._started_at_ns = time.time_ns()
        self._record()
        fault_point("shim.recorded-running")
        return {"pid": self.init.pid, "started_at_ns": self._started_at_ns}

    def _end_creator(self, _events: int = 0) -> None:
        """Wait for the creator, which has nothing more to do: init is our child from here on."""
        if self._creator.fileno() >= 0:
            self._loop.forget(self._creator.fileno())
            self._creator.end()
            learned.learn_pages(learned.SHIM)

    def _init_ended(self, status: int) -> None:
        self.init.drain()
        failure = self._start_failure
        self.init.exit = {
            "exit_code": getattr(failure, "exit_code", 128) if failure is not None else exit_code_of(status),
            "at_ns": time.time_ns(),
            "oom_killed": self._was_oom_killed(),
            "error": str(failure) if failure is not None else "",
        }
        fault_point("shim.init-ended")
        self._write_exit(self.init.exit)
        fault_point("shim.exit-recorded")
        self.state = "stopped"
        self._tell("exited", exit=self.init.exit)
        self.init.finish()
        self._loop.call_last(self._tear_down)

    def _was_oom_killed(self) -> bool:
        try:
            return self._cgroup is not None and self._cgroup.oom_kill_count() > 0
        except OSError:
            return False

    def _write_exit(self, document: Message) -> None:
        try:
            records.write(self.bundle_fd, protocol.EXIT, document)
        except OSError as error:
            # Without the record a daemon that is away now will find "shim lost" later; one that is
            # connected is told all the same.
            log("error", "exit not recorded", task=self.id, error=error)

    def _tear_down(self) -> None:
        """Let go of all that can keep the mounts alive, and wait for all others to do so."""
        fault_point("shim.tearing-down")
        self._end_creator()
        for fd in self._parts.values():
            os.close(fd)
        self._parts.clear()
        fault_point("shim.unmounted")
        self._release_when_empty(_EMPTY_POLL_S)

    @property
    def children(self) -> set[int]:
        """The living processes of our own making."""
        return {each.pid for each in self.processes() if each.pidfd >= 0}

    def end_orphans(self) -> None:
        """End what a helper that died has left: nobody owns it, and nobody was told of it.

        Unreaped, it would keep init from ever ending: the kernel has init wait for all of its namespace.
        """
        if self.shares_pid_namespace:
            return  # orphans of the task itself are among our children, and are reaped in time
        orphans = process.children(os.getpid()) - self.children
        for pid in orphans:
            os.kill(pid, _SIGKILL)
        reap_orphans(self.children)
        if orphans:
            self._loop.call_after(_ORPHAN_POLL_S, self.end_orphans)

    def _release_when_empty(self, wait_s: float) -> None:
        """Kill what is left until nothing is, looking again after ever longer times."""
        if self.children or (self._cgroup is not None and self._cgroup.pids()):
            if self._cgroup is not None:
                self._cgroup.kill()
            reap_orphans(self.children)
            self._loop.call_after(wait_s, lambda: self._release_when_empty(min(2 * wait_s, 0.1)))
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

    # --- what peers ask --------------------------------------------------------------------------

    def process(self, exec_id: str | None) -> Process:
        """Init, or an exec'd process."""
        return self.init if exec_id is None else self.execs.get(exec_id)

    def processes(self) -> list[Process]:
        """Init and every exec."""
        return [self.init, *(each for _, each in self.execs.all())]

    def kill(self, signal: int, exec_id: str | None, *, everyone: bool) -> None:
        """Send a signal; SIGKILL also reaches what is frozen."""
        cgroup = self.living_cgroup()
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
        self.require_state("running")
        self.living_cgroup().freeze()
        fault_point("shim.frozen")
        self.state = "paused"
        self._record()

    def resume(self) -> None:
        """Thaw."""
        self.require_state("paused")
        self.living_cgroup().thaw()
        fault_point("shim.thawed")
        self.state = "running"
        self._record()

    def pids(self) -> list[int]:
        """All processes of the task."""
        return self.living_cgroup().pids()

    def stats(self) -> Message:
        """What the cgroup counts."""
        return self.living_cgroup().stats()

    def update(self, resources: Message) -> None:
        """Change the cgroup's limits."""
        self.living_cgroup().apply(resources)

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
            raise WrongState(self.id, self.state) from None

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

    def require_state(self, *states: str) -> None:
        """Check that the task is in one of `states`.

        Raises:
            WrongState: it is not.
        """
        if self.state not in states:
            raise WrongState(self.id, self.state)

    def living_cgroup(self) -> Cgroup:
        """The cgroup of a task that has not ended.

        Raises:
            WrongState: it has.
        """
        if self._cgroup is None or self.state in ("creating", "stopped"):
            raise WrongState(self.id, self.state)
        return self._cgroup


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
