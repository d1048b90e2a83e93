"""The engines that are measured, each on a socket and on roots of its own.

A peer is started by its `with` block and leaves nothing behind: no process, mount or directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent


class PeerFailed(Exception):
    """An engine did not come up."""


@dataclass
class Peer:
    """A running engine and how its client is called."""

    name: str
    client: list[str]
    env: dict[str, str]
    pid: int = 0
    root: Path = Path()
    force: list[str] = field(default_factory=list)  # what `rm -f` needs besides, to kill at once

    def remove(self, name: str) -> None:
        """Kill a container and remove it."""
        self.run("rm", "-f", *self.force, name)

    def run(self, *args: str, stdin: bytes | None = None) -> str:
        """Run the peer's client and return its output.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        done = subprocess.run(
            [*self.client, *args], env=self.env, input=stdin, capture_output=True, check=False
        )
        if done.returncode:
            raise PeerFailed(f"{self.name} {args}: {done.stderr.decode(errors='replace')[-800:]}")
        return done.stdout.decode()


def environment(**extra: str) -> dict[str, str]:
    """The environment of measured commands: the same small one for all."""
    path = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **extra}


@contextmanager
def daemon(name: str, argv: list[str], socket: Path, log: Path) -> Iterator[int]:
    """Run a daemon until the block ends; ready when its socket answers `_ping`."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            argv, env=environment(), stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        ping = ["curl", "-sf", "--unix-socket", str(socket), "http://d/_ping"]
        while subprocess.run(ping, capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise PeerFailed(f"{name} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def dockerd() -> Iterator[Peer]:
    """Debian's docker.io with its own containerd."""
    root = Path(tempfile.mkdtemp(prefix="bench-dockerd-"))
    socket = root / "d.sock"
    argv = [
        "/usr/sbin/dockerd", "-H", f"unix://{socket}", "--data-root", f"{root}/data",
        "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid", "--iptables=false", "--bridge=none",
    ]  # fmt: skip
    try:
        with daemon("dockerd", argv, socket, root / "log") as pid:
            client = ["/usr/bin/docker", "-H", f"unix://{socket}"]
            yield Peer("docker.io", client, environment(), pid, root)
    finally:
        _unmount_below(root)
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def wherryd() -> Iterator[Peer]:
    """This checkout's daemon."""
    root = Path(tempfile.mkdtemp(prefix="bench-wherryd-"))
    socket = root / "d.sock"
    argv = [
        str(BIN / "wherryd"), "-H", f"unix://{socket}", "--data-root", f"{root}/data",
        "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid",
    ]  # fmt: skip
    try:
        with daemon("wherryd", argv, socket, root / "log") as pid:
            yield Peer("wherry", [str(BIN / "wherry"), "-H", f"unix://{socket}"], environment(), pid, root)
    finally:
        _unmount_below(root)
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def podman() -> Iterator[Peer]:
    """Debian's podman, which has no daemon."""
    root = Path(tempfile.mkdtemp(prefix="bench-podman-"))
    # Its default limits ask for more than a root without CAP_SYS_RESOURCE may give.
    configuration = root / "containers.conf"
    configuration.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n')
    env = environment(CONTAINERS_CONF=str(configuration))
    client = [
        "podman", "--root", f"{root}/data", "--runroot", f"{root}/run", "--tmpdir", f"{root}/tmp",
        "--cgroup-manager=cgroupfs", "--events-backend=file", "--storage-driver=overlay",
    ]  # fmt: skip
    try:
        yield Peer("podman", client, env, 0, root, ["-t", "0"])
    finally:
        subprocess.run([*client, "rm", "-af", "-t", "0"], env=env, capture_output=True, check=False)
        _unmount_below(root)
        shutil.rmtree(root, ignore_errors=True)


def _unmount_below(root: Path) -> None:
    """Take away what a peer left mounted beneath its own root, deepest first."""
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4] for line in file]
    for point in sorted((p for p in points if p.startswith(f"{root}/")), key=len, reverse=True):
        subprocess.run(["umount", "-l", point], capture_output=True, check=False)


def busybox_rootfs(target: Path) -> None:
    """A busybox root file system: the distribution's static binary and its applets as links."""
    binary = next(p for p in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if p.exists())
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
        (target / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(binary, target / "bin/busybox")
    for applet in subprocess.run(
        [binary, "--list"], capture_output=True, text=True, check=True
    ).stdout.split():
        link = target / "bin" / applet
        if not link.exists():
            os.symlink("busybox", link)
    (target / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (target / "etc/group").write_text("root:x:0:\n")


def busybox_archive(path: Path) -> Path:
    """The busybox root file system as a tar for `import`."""
    with tempfile.TemporaryDirectory() as directory:
        busybox_rootfs(Path(directory))
        subprocess.run(["tar", "-C", directory, "-cf", path, "."], check=True)
    return path
