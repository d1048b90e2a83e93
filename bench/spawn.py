"""The runtime case: a container from request to cleaned up, by every runtime on the same configuration.

runc and crun run a bundle as containerd would have them do, from their command line; ours goes the way of
the daemon: a request to the warm spawner, a shim, an overlay, the exit, `released`, and the bundle removed.

As on an installed system, where /run is a tmpfs, everyone's bundles and state lie in memory; the root
directory and ours alone also the writable layer on it lie on the disk.
"""

from __future__ import annotations

import asyncio
import json
import platform
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fakes.spec import docker_style_spec, make_busybox_root

from bench.cases import Result
from bench.measure import interleave, seconds_of
from bench.peers import BIN, environment
from wherry.core.mounts import Mount
from wherry.core.spec import DEFAULT_CAPABILITIES, seccomp
from wherry.core.tasks import CreateTask, TaskService
from wherry.core.threads import Threads
from wherry.linux.mount import mountinfo

PROFILE = seccomp.resolve(
    seccomp.default_profile(), capabilities=DEFAULT_CAPABILITIES, arch=platform.machine(), kernel=(6, 1)
)


def full_spec(name: str) -> dict[str, object]:
    """A Docker-style configuration with limits and the default seccomp profile."""
    path = f"/wherry-bench/{name}"
    return docker_style_spec("/bin/true", cgroups_path=path, memory_bytes=1 << 28, seccomp=PROFILE)


def runtime(rounds: int) -> Result:
    """runc, crun and ours in turn."""
    in_memory = next(each for each in ("/run", "/dev/shm") if _is_tmpfs(each))
    with (
        tempfile.TemporaryDirectory(prefix="wherry-bench-") as directory,
        tempfile.TemporaryDirectory(prefix="wherry-bench-", dir=in_memory) as volatile,
    ):
        root, state = Path(directory), Path(volatile)
        rootfs = make_busybox_root(root / "rootfs")
        with asyncio.Runner() as runner:
            service = runner.run(open_service(state))
            contestants: dict[str, Callable[[], float]] = {
                "wherry (spawner)": lambda: runner.run(once(service, root, rootfs)),
                "wherry-runtime run": command(str(BIN / "wherry-runtime"), state, rootfs),
                "runc": command("/usr/sbin/runc", state, rootfs),
                "crun": command("/usr/bin/crun", state, rootfs),
            }
            series = interleave(contestants, rounds, warmup=2)
            runner.run(service.close())
    return Result("create → exit → cleaned", "ms", "runc", series, "≤ 0.25 × runc, ≤ 0.5 × crun")


def _is_tmpfs(path: str) -> bool:
    return any(each.fstype == "tmpfs" for each in mountinfo() if each.mountpoint == path)


async def open_service(root: Path) -> TaskService:
    service = TaskService(exec_root=root / "exec", seccomp_cache=root / "seccomp", threads=Threads())
    await service.start_spawner()
    return service


async def once(service: TaskService, root: Path, rootfs: Path) -> float:
    """One container through the daemon's way, in milliseconds."""
    name = secrets.token_hex(32)
    upper, work = root / "snapshots" / name / "fs", root / "snapshots" / name / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    options = (f"lowerdir={rootfs}", f"upperdir={upper}", f"workdir={work}")
    mount = Mount(type="overlay", source="overlay", options=options)
    request = CreateTask(tenant="bench", id=name, spec=full_spec(name), rootfs=[mount])
    started = time.perf_counter()
    task = await service.create(request)
    await task.start()
    await task.exited
    await task.released
    await task.delete()
    return (time.perf_counter() - started) * 1000


def command(program: str, state_root: Path, rootfs: Path) -> Callable[[], float]:
    """A contestant: `PROGRAM run` of a fresh bundle on a shared root directory."""

    def measure() -> float:
        name = "bench-" + secrets.token_hex(8)
        bundle = state_root / "bundles" / name
        bundle.mkdir(parents=True)
        spec = full_spec(name)
        spec["root"] = {"path": str(rootfs)}
        (bundle / "config.json").write_text(json.dumps(spec))
        state = state_root / "state" / Path(program).name
        argv = [program, "--root", str(state), "run", "--bundle", str(bundle), name]
        return seconds_of(argv, env=environment()) * 1000

    return measure
