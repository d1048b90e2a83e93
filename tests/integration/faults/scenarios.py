"""The operations whose steps are killed.

While a point is armed a scenario ignores what fails, for some of its calls must.  What counts then is the
state afterwards, and that the same scenario succeeds in every call once nothing is armed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.daemon import BIN, SEARCH_PATH
from tests.fakes.spec import docker_style_spec, make_busybox_root
from tests.integration.faults import images
from tests.integration.faults.world import NONE, World

Scenario = Callable[[World], None]

THROUGH = b"through"


def create(world: World) -> None:
    """Create and remove, with a volume that is filled from the image and with a name that is changed."""
    world.attempt("create", "--name", "victim", *NONE, "-v", "/etc", "busybox", "true")
    world.attempt("rename", "victim", "renamed")
    world.attempt("rm", "-f", "-v", "renamed")


def start(world: World) -> None:
    """Run to the end, with a client attached, and have the container removed by the engine."""
    answer = world.attempt("run", "-i", "--rm", *NONE, "busybox", "cat", stdin=THROUGH)
    assert world.armed or answer == THROUGH


def start_sharing(world: World) -> None:
    world.attempt("run", "--rm", *NONE, "--ipc", "shareable", "busybox", "true")


def execute(world: World) -> None:
    with victim(world):
        answer = world.attempt("exec", "-i", "victim", "cat", stdin=THROUGH)
        assert world.armed or answer == THROUGH


def stop(world: World) -> None:
    """Signals and stops, also of a process that does not listen."""
    with victim(world):
        world.attempt("kill", "-s", "USR1", "victim")
        world.attempt("restart", "-t", "0", "victim")
        world.attempt("stop", "-t", "0", "victim")


def pause(world: World) -> None:
    with victim(world):
        world.attempt("pause", "victim")
        world.attempt("unpause", "victim")


@contextlib.contextmanager
def victim(world: World) -> Iterator[None]:
    """A running container that ignores SIGTERM."""
    world.attempt("run", "-d", "--name", "victim", *NONE, "busybox", "sleep", "600")
    yield
    world.attempt("rm", "-f", "-v", "victim")


def everything(world: World) -> None:
    """All that a shim does in its life."""
    with victim(world):
        world.attempt("exec", "-i", "victim", "cat", stdin=THROUGH)
        world.attempt("pause", "victim")
        world.attempt("unpause", "victim")


def lose_shim(world: World) -> None:
    """A shim is killed, so that the daemon cleans up after it."""
    with victim(world):
        world.attempt("exec", "-d", "victim", "sleep", "600")
        shim = world.shim_of("victim")
        if shim:
            with contextlib.suppress(*([ProcessLookupError] if world.armed else [])):
                os.kill(shim, signal.SIGKILL)
            answer = world.attempt("wait", "victim")
            assert world.armed or answer == b"137\n"


def restart_daemon(world: World) -> None:
    """End the daemon and start it again, with a stopped and a running container to restore."""
    world.attempt("create", "--name", "resting", *NONE, "busybox", "true")
    world.attempt("run", "-d", "--name", "awake", *NONE, "busybox", "sleep", "600")
    pid = world.pid_of("awake")
    world.cycle()
    assert world.armed or world.pid_of("awake") == pid != 0
    world.attempt("rm", "-f", "resting", "awake")


def restore_after(point: str, operation: Scenario) -> Scenario:
    """A restore that finds what a kill at `point` of `operation` left."""

    def restore(world: World) -> None:
        with world.arming(point):
            operation(world)
        world.cycle()

    return restore


def exit_unseen(world: World) -> None:
    """A container whose task vanishes, record and all, as at a reboot."""
    world.attempt("run", "-d", "--name", "victim", *NONE, "busybox", "sleep", "600")
    name, pid, shim = world.id_of("victim"), world.pid_of("victim"), world.shim_of("victim")
    world.daemon.terminate()
    if pid:
        os.kill(shim, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(world.daemon.root / "exec/tasks/moby" / name)
        world.remove_cgroup(name)
    world.cycle()
    world.attempt("rm", "victim")


def runtime_command(world: World) -> None:
    """The runtime as a command, with a bundle of its own."""
    with tempfile.TemporaryDirectory(prefix="wherry-bundle-") as directory:
        rootfs = make_busybox_root(Path(directory, "rootfs"))
        spec = docker_style_spec(
            "/bin/sleep", "600", cgroups_path=f"{world.daemon.cgroup_parent}/runtime-command"
        )
        spec["root"] = {"path": str(rootfs)}
        Path(directory, "config.json").write_text(json.dumps(spec))
        program = [str(BIN / "wherry-runtime"), "--root", f"{directory}/state"]
        env = {"PATH": SEARCH_PATH, **world.daemon.environment}
        create = ["create", "--bundle", directory, "victim"]
        for words in (create, ["start", "victim"], ["delete", "--force", "victim"]):
            # No pipes: the container would hold them open.
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run([*program, *words], env=env, check=not world.armed, timeout=60, **quiet)
        again = {"PATH": SEARCH_PATH}
        subprocess.run([*program, "delete", "--force", "victim"], env=again, check=True, timeout=60)


def pull(world: World) -> None:
    """Pull what no store has seen, and remove it."""
    remote = images.push_unique(world.registry.host, "fault/pulled", "1")
    world.attempt("pull", remote)
    world.attempt("rmi", "-f", remote)


def push(world: World) -> None:
    """Push what the registry has not seen."""
    remote = f"{world.registry.host}/fault/pushed:1"
    world.attempt("import", "-", remote, stdin=images.unique_tar())
    world.attempt("push", remote)
    world.attempt("rmi", "-f", remote)


def load(world: World) -> None:
    """Load an image of which nothing is there, and remove it again."""
    world.attempt("load", stdin=images.unique_archive("other/image:1"))
    world.attempt("rmi", "-f", "other/image:1")


def save(world: World) -> None:
    answer = world.attempt("save", "busybox")
    assert world.armed or answer


def import_image(world: World) -> None:
    world.attempt("import", "-", "imported:1", stdin=images.unique_tar())
    world.attempt("rmi", "-f", "imported:1")


def name_images(world: World) -> None:
    """A name that moves on, and one that goes while a container uses the image."""
    for _ in range(2):
        world.attempt("import", "-c", "CMD true", "-", "imported:1", stdin=images.unique_tar())
    world.attempt("create", "--name", "user", *NONE, "imported:1")
    world.attempt("rmi", "-f", "imported:1")
    world.attempt("rm", "user")
    world.attempt("image", "prune", "-f")


def volumes(world: World) -> None:
    world.attempt("volume", "create", "hold")
    world.attempt("run", "--rm", *NONE, "-v", "hold:/hold", "busybox", "touch", "/hold/file")
    world.attempt("volume", "rm", "hold")


COVERED: dict[str, Scenario] = {
    "create": create,
    "create.cgroup-made": start,
    "create.cloned": start,
    "rename": create,
    "rm": create,
    "volumes": volumes,
    "start": start,
    "start.shm-directory-made": start_sharing,
    "exit": stop,
    "init": start,
    "cgroup": start,
    "cgroup.v1-frozen-to-kill": lose_shim,
    "tasks": start,
    "exec": execute,
    "kill": stop,
    "stop": stop,
    "restart": stop,
    "pause": pause,
    "unpause": pause,
    "shim": everything,
    "spawner": lose_shim,
    "daemon": restart_daemon,
    "restore.create-found": restore_after("create.snapshot-recorded", create),
    "restore.removal-resumed": restore_after("rm.removal-recorded", create),
    "restore.start-recorded": restore_after("start.task-started", stop),
    "restore.exit-recorded": exit_unseen,
    "runtime": runtime_command,
    "pull": pull,
    "push": push,
    "load": load,
    "unpack": pull,
    "snapshot": load,
    "snapshot.files-removed": create,
    "content": load,
    "save": save,
    "import": import_image,
    "images": name_images,
}
"""Which scenario passes the points of a name; the longest beginning decides."""


def scenario_of(point: str) -> Scenario:
    """The operation that passes `point`.

    Raises:
        AssertionError: no scenario covers it.
    """
    prefixes = [prefix for prefix in COVERED if f"{point}.".startswith(f"{prefix}.")]
    assert prefixes, f"no scenario passes {point}: add one to COVERED"
    return COVERED[max(prefixes, key=len)]
