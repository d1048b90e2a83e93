"""The operations whose steps are killed, and the world they run in.

A scenario ignores what fails: with a fault armed some of its calls must fail.  What counts is the state
afterwards.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.daemon import Daemon
from tests.registry import Registry

NONE = ("--network", "none")


class World:
    """A daemon with a bystander container, and a registry with an image to pull."""

    def __enter__(self) -> World:
        self.registry = Registry().start()
        self.daemon = Daemon()
        self.daemon.start()
        self.daemon.import_busybox()
        self.remote = f"127.0.0.1:{self.registry.port}/fault/busybox:latest"
        self.daemon.client("tag", "busybox", self.remote)
        self.daemon.client("push", self.remote)
        self.daemon.client("rmi", self.remote)
        self.archive = Path(tempfile.mkdtemp(prefix="wherry-faults-")) / "image.tar"
        self.archive.write_bytes(self.daemon.client("save", "busybox").stdout)
        script = "while :; do date; sleep 0.2; done"
        self.daemon.client("run", "-d", "--name", "bystander", *NONE, "busybox", "sh", "-c", script)
        return self

    def __exit__(self, *_: object) -> None:
        self.archive.unlink()
        self.archive.parent.rmdir()
        self.registry.stop()
        self.daemon.stop()

    def attempt(self, *args: str, stdin: bytes | None = None) -> None:
        self.daemon.client(*args, stdin=stdin, check=False)

    def orphans(self) -> list[str]:
        """Shims, mounts and cgroups of containers that the daemon does not know."""
        known = set(self.daemon.client("ps", "-aq", "--no-trunc").stdout.decode().split())
        found = []
        for hierarchy in [
            "/sys/fs/cgroup",
            *(f"/sys/fs/cgroup/{name}" for name in os.listdir("/sys/fs/cgroup")),
        ]:
            parent = Path(hierarchy, "wherry")
            if parent.is_dir():
                found += [
                    str(path)
                    for path in parent.iterdir()
                    if path.is_dir() and path.name not in known and len(path.name) == 64
                ]
        bundles = Path(self.daemon.root, "exec/tasks")
        found += [str(path) for path in bundles.glob("*/*") if path.name not in known]
        with open("/proc/self/mountinfo") as file:
            points = [line.split()[4] for line in file]
        found += [
            p for p in points if p.startswith(f"{self.daemon.root}/") and not any(name in p for name in known)
        ]
        return found


def life(world: World) -> None:
    """Create, start, exec, restart, stop and remove, with a volume."""
    world.attempt("create", "--name", "victim", *NONE, "-v", "/data", "busybox", "sleep", "60")
    world.attempt("start", "victim")
    world.attempt("exec", "victim", "true")
    world.attempt("restart", "-t", "0", "victim")
    world.attempt("kill", "-s", "USR1", "victim")
    world.attempt("rename", "victim", "renamed")
    world.attempt("stop", "-t", "0", "victim")
    world.attempt("stop", "-t", "0", "renamed")
    world.attempt("rm", "-f", "-v", "victim")
    world.attempt("rm", "-f", "-v", "renamed")
    world.attempt("run", "--rm", *NONE, "busybox", "echo", "brief")
    world.attempt("run", "-i", "--rm", *NONE, "busybox", "cat", stdin=b"through")
    world.attempt("container", "prune", "-f")


def pull(world: World) -> None:
    world.attempt("pull", world.remote)
    world.attempt("rmi", "-f", world.remote)


def push(world: World) -> None:
    world.attempt("tag", "busybox", world.remote)
    world.attempt("push", world.remote)
    world.attempt("rmi", world.remote)


def load(world: World) -> None:
    world.attempt("load", "-i", str(world.archive))


def save(world: World) -> None:
    with open(os.devnull, "wb") as sink:
        subprocess.run(
            ["docker", "-H", world.daemon.host, "save", "busybox"], stdout=sink, stderr=sink, check=False
        )


def import_image(world: World) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "file").write_text(os.urandom(16).hex())
        tar = subprocess.run(["tar", "-C", directory, "-c", "."], capture_output=True, check=True).stdout
    world.attempt("import", "-", "imported:1", stdin=tar)
    world.attempt("rmi", "imported:1")


def images(world: World) -> None:
    import_image(world)
    world.attempt("tag", "busybox", "other:1")
    world.attempt("rmi", "other:1")
    world.attempt("image", "prune", "-f")


def volumes(world: World) -> None:
    world.attempt("volume", "create", "hold")
    world.attempt("volume", "rm", "hold")
    world.attempt("volume", "prune", "-f")


LIFE = (
    "create", "start", "exec", "stop", "kill", "restart", "rename", "rm", "exit", "shim", "spawner", "tasks",
)  # fmt: skip
COVERED: dict[str, Callable[[World], None]] = dict.fromkeys(LIFE, life)
COVERED |= {
    "pull": pull,
    "push": push,
    "load": load,
    "save": save,
    "import": import_image,
    "images": images,
    "volumes": volumes,
}
