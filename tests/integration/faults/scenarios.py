"""The operations whose steps are killed, and the world they run in.

A scenario ignores what fails: with a fault armed some of its calls must fail.  What counts is the state
afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.daemon import BIN, SEARCH_PATH, TIME_FACTOR, Daemon, DaemonFailed
from tests.fakes.spec import docker_style_spec, make_busybox_root
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
        self.daemon.client("import", "-", "other/image:1", stdin=unique_tar())
        self.archive.write_bytes(self.daemon.client("save", "other/image:1").stdout)
        self.daemon.client("rmi", "other/image:1")
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
        found = [path for path in self.daemon.cgroups() if Path(path).name not in known]
        bundles = Path(self.daemon.root, "exec/tasks")
        found += [str(path) for path in bundles.glob("*/*") if path.name not in known]
        with open("/proc/self/mountinfo") as file:
            points = [line.split()[4] for line in file]
        found += [
            p for p in points if p.startswith(f"{self.daemon.root}/") and not any(name in p for name in known)
        ]
        return found


def create(world: World) -> None:
    """Create and remove, with a volume that is filled from the image and with a name that is changed."""
    world.attempt("create", "--name", "victim", *NONE, "-v", "/etc", "busybox", "true")
    world.attempt("rename", "victim", "renamed")
    world.attempt("rm", "-f", "-v", "victim")
    world.attempt("rm", "-f", "-v", "renamed")


def start(world: World) -> None:
    """Run to the end, with a client attached, and have the container removed by the engine."""
    world.attempt("run", "-i", "--rm", *NONE, "--ipc", "shareable", "busybox", "cat", stdin=b"through")


def execute(world: World) -> None:
    with victim(world):
        world.attempt("exec", "-i", "victim", "cat", stdin=b"through")


def stop(world: World) -> None:
    """Signals and stops, also of a process that does not listen."""
    with victim(world):
        world.attempt("kill", "-s", "USR1", "victim")
        world.attempt("restart", "-t", "0", "victim")
        world.attempt("stop", "-t", "1", "victim")


def pause(world: World) -> None:
    with victim(world):
        world.attempt("pause", "victim")
        world.attempt("unpause", "victim")


@contextlib.contextmanager
def victim(world: World) -> Iterator[None]:
    """A running container that ignores SIGTERM."""
    world.attempt("run", "-d", "--name", "victim", *NONE, "busybox", "sleep", "60")
    yield
    world.attempt("rm", "-f", "-v", "victim")


def shim(world: World) -> None:
    """Everything that a shim does in its life."""
    execute(world)
    pause(world)
    start(world)


def shim_lost(world: World) -> None:
    """A shim is killed, so that the daemon cleans up after it."""
    with victim(world):
        pid = int(world.daemon.client("inspect", "-f", "{{.State.Pid}}", "victim").stdout)
        world.attempt("exec", "-d", "victim", "sleep", "60")
        os.kill(parent_of(pid), signal.SIGKILL)
        world.attempt("wait", "victim")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def restart_daemon(world: World) -> None:
    """End the daemon and start it again, with a stopped and a running container to restore."""
    world.attempt("create", "--name", "resting", *NONE, "busybox", "true")
    world.attempt("run", "-d", "--name", "awake", *NONE, "busybox", "sleep", "60")
    cycle(world)


def cycle(world: World) -> None:
    with contextlib.suppress(DaemonFailed):
        if world.daemon.process and world.daemon.process.poll() is None:
            world.daemon.terminate()
        world.daemon.start()


def restore_after(point: str, operation: Callable[[World], None]) -> Callable[[World], None]:
    """A restore that finds what a kill at `point` of `operation` left."""

    def restore(world: World) -> None:
        first = world.daemon.root / "first"
        armed = world.daemon.environment.get("WHERRY_FAULT", "")
        world.daemon.environment["WHERRY_FAULT"] = f"{point}@{first},{armed}"
        cycle(world)
        first.touch()
        operation(world)
        first.unlink(missing_ok=True)
        cycle(world)
        world.daemon.environment["WHERRY_FAULT"] = armed

    return restore


def exit_unseen(world: World) -> None:
    """A container whose task vanishes, record and all, as at a reboot."""
    world.attempt("run", "-d", "--name", "victim", *NONE, "busybox", "sleep", "60")
    listed = world.daemon.client(
        "inspect", "-f", "{{.Id}} {{.State.Pid}}", "victim", check=False
    ).stdout.split()
    world.daemon.terminate()
    if len(listed) == 2:
        pid = int(listed[1])
        shim_pid = parent_of(pid)
        os.kill(shim_pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(world.daemon.root / "exec/tasks/moby" / listed[0].decode(), ignore_errors=True)
        remove_cgroup(world, listed[0].decode())
    cycle(world)


def remove_cgroup(world: World, name: str) -> None:
    deadline = time.monotonic() + 10 * TIME_FACTOR
    while doomed := [path for path in world.daemon.cgroups() if path.endswith(name)]:
        assert time.monotonic() < deadline, f"still busy: {doomed}"
        for path in doomed:
            with contextlib.suppress(OSError):
                os.rmdir(path)


def runtime_command(world: World) -> None:
    """The runtime as a command, with a bundle of its own."""
    with tempfile.TemporaryDirectory(prefix="wherry-bundle-") as directory:
        rootfs = make_busybox_root(Path(directory, "rootfs"))
        spec = docker_style_spec(
            "/bin/sleep", "60", cgroups_path=f"{world.daemon.cgroup_parent}/runtime-command"
        )
        spec["root"] = {"path": str(rootfs)}
        Path(directory, "config.json").write_text(json.dumps(spec))
        program = [str(BIN / "wherry-runtime"), "--root", f"{directory}/state"]
        env = {"PATH": SEARCH_PATH, **world.daemon.environment}
        # No pipes: the container would hold them open.
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for words in (["create", "--bundle", directory, "victim"], ["start", "victim"]):
            subprocess.run([*program, *words], env=env, check=False, timeout=60, **quiet)
        subprocess.run([*program, "delete", "--force", "victim"], env=env, check=False, timeout=60, **quiet)
        again = {"PATH": SEARCH_PATH}
        subprocess.run([*program, "delete", "--force", "victim"], env=again, check=True, timeout=60, **quiet)


def pull(world: World) -> None:
    world.attempt("pull", world.remote)
    world.attempt("rmi", "-f", world.remote)


def push(world: World) -> None:
    world.attempt("tag", "busybox", world.remote)
    world.attempt("push", world.remote)
    world.attempt("rmi", world.remote)


def load(world: World) -> None:
    """Load an image of which nothing is there, and remove it again."""
    world.attempt("load", "-i", str(world.archive))
    world.attempt("rmi", "-f", "other/image:1")
    world.attempt("image", "prune", "-f")


def save(world: World) -> None:
    with open(os.devnull, "wb") as sink:
        subprocess.run(
            ["docker", "-H", world.daemon.host, "save", "busybox"], stdout=sink, stderr=sink, check=False
        )


def import_image(world: World) -> None:
    world.attempt("import", "-", "imported:1", stdin=unique_tar())
    world.attempt("rmi", "imported:1")


def unique_tar() -> bytes:
    """A tar whose content no store has."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "file").write_text(os.urandom(16).hex())
        return subprocess.run(["tar", "-C", directory, "-c", "."], capture_output=True, check=True).stdout


def images(world: World) -> None:
    import_image(world)
    world.attempt("tag", "busybox", "second:1")
    world.attempt("rmi", "second:1")
    world.attempt("create", "--name", "user", *NONE, "second:1")
    world.attempt("image", "prune", "-f")


def volumes(world: World) -> None:
    world.attempt("volume", "create", "hold")
    world.attempt("volume", "rm", "hold")
    world.attempt("volume", "prune", "-f")


COVERED: dict[str, Callable[[World], None]] = {
    "create": create,
    "create.cgroup-made": start,
    "create.cloned": start,
    "rename": create,
    "rm": create,
    "volumes": volumes,
    "start": start,
    "exit": start,
    "init": start,
    "cgroup": start,
    "tasks": start,
    "exec": execute,
    "kill": stop,
    "stop": stop,
    "restart": stop,
    "pause": pause,
    "unpause": pause,
    "shim": shim,
    "spawner": shim_lost,
    "daemon": restart_daemon,
    "restore.create-found": restore_after("create.snapshot-recorded", create),
    "restore.removal-resumed": restore_after("rm.removal-recorded", create),
    "restore.start-recorded": restore_after("start.task-started", start),
    "restore.exit-recorded": exit_unseen,
    "runtime": runtime_command,
    "pull": pull,
    "push": push,
    "load": load,
    "unpack": load,
    "snapshot": load,
    "content": load,
    "save": save,
    "import": import_image,
    "images": images,
}
