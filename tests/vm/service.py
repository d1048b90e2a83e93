"""wherryd as a unit of systemd, on roots of its own, and our command line as its client."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.daemon import TIME_FACTOR, busybox_archive

import wherry

CGROUPS = Path("/sys/fs/cgroup")
UNITS = Path("/run/systemd/system")
# The virtual machine has no installed package: the launchers name the directories that we import from.
_PLACES = [str(Path(module.__file__ or "").parents[1]) for module in (wherry, msgspec)]
_UNIT = """
[Service]
Type=notify
ExecStart={command}
Delegate=yes
KillMode=process
TimeoutStartSec=180
"""

Done = subprocess.CompletedProcess[str]


def launcher(path: Path, program: str) -> Path:
    """A script at `path` that starts `program` (`cli` or `daemon`) as the installed ones do."""
    code = (
        f"import sys; sys.path[:0] = {_PLACES!r}; from wherry.{program}.main import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -E -B -c {shlex.quote(code)} "$@"\n')
    path.chmod(0o755)
    return path


def call(*words: str | Path, check: bool = True, timeout_s: float = 20) -> Done:
    """Run a program to its end."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s * TIME_FACTOR)
    assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def wait_until(condition: Callable[[], object], what: str, *, timeout_s: float = 10) -> None:
    """Poll `condition` until it is true."""
    deadline = time.monotonic() + timeout_s * TIME_FACTOR
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s * TIME_FACTOR:.0f} s: {what}"
        time.sleep(0.05)


def processes(group: Path) -> list[int]:
    """The processes in a control group and in those beneath it."""
    return [int(pid) for file in group.rglob("cgroup.procs") for pid in file.read_text().split()]


def group_of(pid: int | str) -> Path:
    """The control group of a process."""
    return CGROUPS / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


class Service:
    """The daemon as a unit.  `wherry` is its client; `remove` ends it and what it has made."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wherry-test-", dir="/var/tmp"))  # an upper may lie there
        self.unit = f"{self.root.name}.service"
        self.host = f"unix://{self.root}/d.sock"
        self.containers = CGROUPS / self.root.name
        self._cli = launcher(self.root / "wherry", "cli")
        self._daemon = launcher(self.root / "wherryd", "daemon")
        UNITS.mkdir(parents=True, exist_ok=True)
        (UNITS / self.unit).write_text(_UNIT.format(command=shlex.join(self.command(self.root))))
        self.systemctl("daemon-reload")

    def command(self, root: Path) -> list[str]:
        """What starts the daemon on roots and a socket below `root`."""
        return [
            str(self._daemon), "--host", f"unix://{root}/d.sock", "--pidfile", f"{root}/pid",
            "--data-root", f"{root}/data", "--exec-root", f"{root}/exec",
            "--cgroup-parent", f"/{self.root.name}",
        ]  # fmt: skip

    @property
    def group(self) -> Path:
        """The unit's control group."""
        return CGROUPS / "system.slice" / self.unit

    @property
    def main_pid(self) -> int:
        return int(self.systemctl("show", "-P", "MainPID", self.unit).stdout)

    def systemctl(self, *words: str) -> Done:
        return call("systemctl", *words)

    def start(self) -> None:
        """Start the unit: it is started when clients are served."""
        done = call("systemctl", "start", self.unit, check=False)
        assert done.returncode == 0, self.log()

    def stop(self) -> None:
        self.systemctl("stop", self.unit)

    def wherry(self, *words: str | Path, check: bool = True) -> Done:
        return call(self._cli, "-H", self.host, *words, check=check)

    def run(self, *words: str | Path, check: bool = True) -> str:
        """What a container of the busybox image prints: options and a script for its shell."""
        *options, script = words
        done = self.wherry("run", "--rm", *options, "busybox", "sh", "-c", script, check=check)
        return done.stdout + done.stderr

    def inspect(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.wherry("inspect", name).stdout)[0]
        return document

    def group_of(self, name: str) -> Path:
        """The control group of a container."""
        return self.containers / str(self.inspect(name)["Id"])

    def limits(self, name: str, *files: str) -> list[str]:
        """What is in files of a container's control group."""
        group = self.group_of(name)
        return [(group / file).read_text().strip() for file in files]

    def import_busybox(self) -> None:
        self.wherry("import", "--change", 'CMD ["sh"]', busybox_archive(), "busybox")

    def remove_containers(self) -> None:
        ids = self.wherry("ps", "-aq").stdout.split()
        if ids:
            self.wherry("rm", "-f", *ids)

    def log(self) -> str:
        return call("journalctl", "-u", self.unit, "--no-pager", "-n", "80").stdout

    def remove(self) -> None:
        """End the unit, and see that nothing is left of it."""
        try:
            self.start()
            self.remove_containers()
        finally:
            self.stop()
            (UNITS / self.unit).unlink()
            self.systemctl("daemon-reload")
        wait_until(lambda: not processes(self.group), "every shim has ended")
        left = [path for path in self.containers.glob("*") if path.is_dir()]
        assert not left, f"control groups are left: {left}"
        if self.containers.is_dir():
            self.containers.rmdir()
        mounts = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.root) in line
        ]
        assert not mounts
        shutil.rmtree(self.root)


def is_alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
