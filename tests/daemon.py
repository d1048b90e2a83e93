"""A private daemon for tests: ours, or docker.io's as the reference, and what it left behind.

`TARGET=reference` in the environment runs the same tests on docker.io, which shows that a test asks
for what the original does.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REFERENCE = os.environ.get("TARGET") == "reference"
BIN = Path(sys.executable).parent
CHECKOUT = Path(__file__).parents[1]
TIME_FACTOR = float(os.environ.get("TEST_TIME_FACTOR", "1"))
SEARCH_PATH = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DaemonFailed(Exception):
    """The daemon ended, or does not answer."""


class Daemon:
    """An engine on roots and a socket of its own; `stop` ends it and removes all it made."""

    def __init__(self, *, arguments: tuple[str, ...] = (), environment: dict[str, str] | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wherry-test-", dir="/tmp"))
        self.socket = self.root / "d.sock"
        self.host = f"unix://{self.socket}"
        self.cgroup_parent = f"/{self.root.name}"
        self.arguments = arguments
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None

    def argv(self) -> list[str]:
        program = (
            ["/usr/sbin/dockerd", "--iptables=false", "--bridge=none"]
            if REFERENCE
            else [str(BIN / "wherryd")]
        )
        roots = [
            "--host", self.host, "--data-root", f"{self.root}/data",
            "--exec-root", f"{self.root}/exec", "--pidfile", f"{self.root}/pid",
            "--cgroup-parent", self.cgroup_parent,
        ]  # fmt: skip
        return [*program, *roots, *self.arguments]

    def start(self, **environment: str) -> Daemon:
        """Start it and wait until it answers."""
        env = {"PATH": SEARCH_PATH, "HOME": "/root", "LANG": "C.UTF-8", **self.environment, **environment}
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.argv(), env=env, stdout=log, stderr=log, start_new_session=True
            )
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        assert self.process
        deadline = time.monotonic() + 60 * TIME_FACTOR
        ping = ["curl", "-sf", "--max-time", "5", "--unix-socket", str(self.socket), "http://d/_ping"]
        while subprocess.run(ping, capture_output=True).returncode:
            if self.process.poll() is not None:
                raise DaemonFailed(f"the daemon ended: {self.log()[-3000:]}")
            if time.monotonic() > deadline:
                raise DaemonFailed(f"the daemon does not answer: {self.log()[-3000:]}")
            time.sleep(0.02)

    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL the daemon alone: its containers live on."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30 * TIME_FACTOR)

    def client(
        self, *args: str, stdin: bytes | None = None, check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the real docker CLI on this daemon."""
        env = {"PATH": SEARCH_PATH, "HOME": str(self.root), "DOCKER_HOST": self.host, "LANG": "C.UTF-8"}
        done = subprocess.run(
            ["docker", *args], env=env, input=stdin, capture_output=True, timeout=timeout_s * TIME_FACTOR
        )
        assert not check or done.returncode == 0, (
            f"docker {args}: {done.returncode}: {done.stderr.decode()}\n{done.stdout[-500:]!r}"
        )
        return done

    def wherry(
        self, *args: str, stdin: bytes | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run our CLI on this daemon."""
        env = {"PATH": SEARCH_PATH, "HOME": str(self.root), "LANG": "C.UTF-8"}
        done = subprocess.run(
            [str(BIN / "wherry"), "-H", self.host, *args],
            env=env, input=stdin, capture_output=True, timeout=120 * TIME_FACTOR,
        )  # fmt: skip
        assert not check or done.returncode == 0, (
            f"wherry {args}: {done.returncode}: {done.stderr.decode()}\n{done.stdout[-500:]!r}"
        )
        return done

    def import_busybox(self, name: str = "busybox:latest") -> None:
        self.client("import", "--change", 'CMD ["sh"]', str(busybox_archive()), name)

    def stop(self) -> None:
        """Remove every container, end the daemon and delete its roots."""
        try:
            if self.process and self.process.poll() is None:
                ids = self.client("ps", "-aq", check=False).stdout.decode().split()
                if ids:
                    self.client("rm", "-f", *ids, check=False)
                self.terminate()
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            left = self.leftovers()
            shutil.rmtree(self.root, ignore_errors=True)
            if not left:
                self._remove_cgroup_parent()
            assert not left, f"left behind: {left}"

    def leftovers(self) -> list[str]:
        """Mounts, processes and cgroups that still belong to this daemon's roots, after a grace time."""
        deadline = time.monotonic() + 5 * TIME_FACTOR
        while (
            left := [*self._mounts(), *self._processes(), *self.cgroups()]
        ) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def cgroups(self) -> list[str]:
        """The control groups below this daemon's parent, in every hierarchy."""
        found = []
        for hierarchy in ("", *os.listdir("/sys/fs/cgroup")):
            parent = Path("/sys/fs/cgroup", hierarchy, self.root.name)
            if parent.is_dir():
                found += [str(path) for path in parent.iterdir() if path.is_dir()]
        return found

    def _remove_cgroup_parent(self) -> None:
        for hierarchy in ("", *os.listdir("/sys/fs/cgroup")):
            parent = Path("/sys/fs/cgroup", hierarchy, self.root.name)
            if parent.is_dir():
                parent.rmdir()

    def _mounts(self) -> list[str]:
        with open("/proc/self/mountinfo") as file:
            return [point for line in file if (point := line.split()[4]).startswith(f"{self.root}/")]

    def _processes(self) -> list[str]:
        """Processes that hold something below our roots open, or were started with them as arguments."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdecimal() or int(entry) == os.getpid():
                continue
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes()
                held = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")]
            except OSError:
                continue
            if str(self.root).encode() in words or any(path.startswith(f"{self.root}/") for path in held):
                found.append(f"{entry} {words.replace(bytes(1), b' ').decode(errors='replace')[:120]}")
        return found

    def __enter__(self) -> Daemon:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


_archive: Path | None = None


def busybox_archive() -> Path:
    """A tar of a busybox root file system, made once per test run."""
    global _archive
    if _archive is None or not _archive.exists():
        binary = next(p for p in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if p.exists())
        home = Path(tempfile.mkdtemp(prefix="wherry-busybox-"))
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        root = home / "root"
        for name in ("bin", "etc", "tmp", "root"):
            (root / name).mkdir(parents=True)
        shutil.copy2(binary, root / "bin/busybox")
        for applet in subprocess.run(
            [binary, "--list"], capture_output=True, text=True, check=True
        ).stdout.split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\nguest:x:1000:\n")
        subprocess.run(["tar", "-C", root, "-cf", home / "busybox.tar", "."], check=True)
        shutil.rmtree(root)
        _archive = home / "busybox.tar"
    return _archive
