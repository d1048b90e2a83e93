"""The world in which operations are killed: a daemon with a bystander, and a registry.

Every point is armed all the time, each on a file of its own, and fires once that file is made: so one daemon
serves many points, and the process that dies is whichever passes the point first.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.daemon import TIME_FACTOR, Daemon, DaemonFailed
from tests.integration.faults.points import DAEMON, SPAWNER, fault_points
from tests.registry import Registry

from wherry.linux import process

NONE = ("--network", "none")
COUNTER = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
CALL_TIMEOUT_S = 30  # a client that takes longer hangs
GRACE_S = 10
AWARE_S = 0.05  # until others have seen a death


class World:
    """A daemon with a bystander container, and a registry.  A context manager."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.daemon = Daemon()
        self.triggers = self.daemon.root / "triggers"
        self.armed = False
        self.failures: list[str] = []
        """What clients were told since a point was armed last."""
        self._bystander = ""
        self._told: set[str] = set()
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> World:
        with contextlib.ExitStack() as undo:
            undo.enter_context(self.registry)
            undo.callback(self.daemon.stop)
            self.triggers.mkdir()
            armed = [f"{point}@{self.triggers}/{point}" for point in fault_points()]
            armed += [f"{point}=WAIT@{self.triggers}/{point}.wait" for point in fault_points()]
            self.daemon.environment["WHERRY_FAULT"] = ",".join(armed)
            self.daemon.start()
            self.daemon.import_busybox()
            self.attempt("run", "-d", "--name", "bystander", *NONE, "busybox", "sh", "-c", COUNTER)
            self._bystander = self.id_of("bystander")
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    # --- faults ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def arming(self, point: str) -> Iterator[Path]:
        """Kill whoever passes `point` first; the file that it removes on its way."""
        trigger = self.triggers / point
        trigger.touch()
        self.failures.clear()
        before, self.armed = self.armed, True
        try:
            yield trigger
        finally:
            self.armed = before
            trigger.unlink(missing_ok=True)

    def kill_at(self, point: str, victim: str, operation: Callable[[World], None]) -> None:
        """Kill the process `victim` while whoever passes `point` of `operation` waits there."""
        trigger, reached = self.triggers / f"{point}.wait", self.triggers / f"{point}.wait.reached"
        trigger.touch()
        self.failures.clear()
        self.armed = True
        try:
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(operation, self)
                while not reached.exists() and not running.done():
                    time.sleep(0.002)
                assert reached.exists(), f"the operation does not pass the point: {self.failures}"
                self.kill(victim)
                time.sleep(AWARE_S)
                reached.unlink()
                running.result()
        finally:
            self.armed = False
            reached.unlink(missing_ok=True)
            trigger.unlink(missing_ok=True)

    def kill(self, victim: str) -> None:
        """Kill the daemon, its spawner, or every shim but the bystander's; there may be none just now."""
        assert self.daemon.process
        if victim == DAEMON:
            self.daemon.kill()
            return
        if victim == SPAWNER:
            parent = self.daemon.process.pid
            pids = [pid for pid in process.children(parent) if title_of(pid) == ["wherry-spawner"]]
        else:
            pids = [pid for pid, name in self._shims() if name != self._bystander]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def attempt(self, *args: str, stdin: bytes | None = None) -> bytes:
        """What the docker CLI prints.  It must end in time, and without an armed point it must succeed."""
        done = self.daemon.client(*args, stdin=stdin, check=not self.armed, timeout_s=CALL_TIMEOUT_S)
        if done.returncode:
            self.failures.append(f"{args}: {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def id_of(self, name: str) -> str:
        return self._inspect(name, "{{.Id}}")

    def pid_of(self, name: str) -> int:
        """The process id of a container's init; 0 when it does not run."""
        return int(self._inspect(name, "{{.State.Pid}}") or "0")

    def shim_of(self, name: str) -> int:
        """The process id of a container's shim; 0 when there is none."""
        record = self.daemon.root / "exec/tasks/moby" / (self.id_of(name) or "none") / "record.json"
        return int(json.loads(record.read_bytes())["shim_pid"]) if record.exists() else 0

    def _inspect(self, name: str, template: str) -> str:
        return self.attempt("container", "inspect", "-f", template, name).decode().strip()

    def cycle(self) -> None:
        """End the daemon, if it lives, and start it again; an armed point may kill it on the way."""
        with contextlib.suppress(*([DaemonFailed] if self.armed else [])):
            if self.lives():
                self.daemon.terminate()
            self.daemon.start()

    def lives(self) -> bool:
        return self.daemon.process is not None and self.daemon.process.poll() is None

    # --- what must hold afterwards ----------------------------------------------------------------

    def bystander_lines(self) -> int:
        """How many lines the bystander has logged; waits for one more than there is now.

        Raises:
            AssertionError: its log grows no more, or a line is missing.
        """
        seen = self._count()
        deadline = time.monotonic() + GRACE_S * TIME_FACTOR
        while (now := self._count()) == seen:
            assert time.monotonic() < deadline, "the bystander's log no longer grows"
            time.sleep(0.02)
        return now

    def _count(self) -> int:
        lines = self.attempt("logs", "bystander").split()
        assert lines == [b"%d" % number for number in range(1, len(lines) + 1)]
        return len(lines)

    def remove_all_but_the_bystander(self) -> None:
        doomed = [name for name in self._names() if name != "bystander"]
        if doomed:
            self.attempt("rm", "-f", "-v", *doomed)
        assert self._names() == ["bystander"]

    def _names(self) -> list[str]:
        return self.attempt("ps", "-a", "--format", "{{.Names}}").decode().split()

    def orphans(self) -> list[str]:
        """What nobody accounts for, after a grace time: it may be on its way out.  Each is told once."""
        known = {self._bystander}
        self.attempt("volume", "prune", "-f")
        deadline = time.monotonic() + GRACE_S * TIME_FACTOR
        while (found := self._strangers(known) - self._told) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._told |= found
        return sorted(found)

    def _strangers(self, known: set[str]) -> set[str]:
        root = self.daemon.root
        found = [path for path in self.daemon.cgroups() if Path(path).name not in known]
        for places in ("exec/tasks/moby/*", "exec/engine/execs/*", "data/containers/*", "data/volumes/*"):
            found += [str(path) for path in root.glob(places) if path.name not in known]
        with open("/proc/self/mountinfo") as file:
            points = [line.split()[4] for line in file]
        found += [
            point for point in points
            if point.startswith(f"{root}/") and not any(name in point for name in known)
        ]  # fmt: skip
        shims = [f"shim {pid} of {name}" for pid, name in self._shims() if name not in known]
        return {*found, *self._active_snapshots(known), *shims}

    def _active_snapshots(self, known: set[str]) -> list[str]:
        database = sqlite3.connect(f"file:{self.daemon.root}/data/metadata.db?mode=ro", uri=True)
        with contextlib.closing(database):
            keys = database.execute("SELECT key FROM snapshots WHERE kind != 'committed'").fetchall()
        return [f"snapshot {key}" for (key,) in keys if key not in known]

    def _shims(self) -> list[tuple[int, str]]:
        """The shims of this daemon that have a task, whose id it is; a spare one has none yet."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                title = title_of(int(entry)) if entry.isdecimal() else []
                if title[:1] == ["wherry-shim"] and len(title) == 2:
                    held = [os.readlink(fd) for fd in Path(f"/proc/{entry}/fd").iterdir()]
                    if any(path.startswith(f"{self.daemon.root}/") for path in held):
                        found.append((int(entry), title[1].partition("/")[2]))
        return found

    def remove_cgroup(self, name: str) -> None:
        """Remove the cgroup of processes that have just been killed."""
        deadline = time.monotonic() + GRACE_S * TIME_FACTOR
        while doomed := [path for path in self.daemon.cgroups() if path.endswith(name)]:
            assert time.monotonic() < deadline, f"still busy: {doomed}"
            for path in doomed:
                with contextlib.suppress(OSError):
                    os.rmdir(path)


def title_of(pid: int) -> list[str]:
    """The words of a process's title."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split(" ")
