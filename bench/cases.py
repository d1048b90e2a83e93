"""The cases: what is measured, between whom, and against which peer the ratio is taken."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.archive import docker_archive
from bench.measure import Series, descendants, interleave, proportional_kib, seconds_of
from bench.peers import Peer, busybox_archive, dockerd, environment, podman, wherryd

DOCKER = "/usr/local/bin/docker" if os.path.exists("/usr/local/bin/docker") else "/usr/bin/docker"


@dataclass
class Result:
    """One case's medians; ratios are wherry's divided by the reference's."""

    name: str
    unit: str
    reference: str
    series: list[Series]
    budget: str


class Engines:
    """wherryd, dockerd and podman with the busybox image, up for the length of a block."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.wherry = stack.enter_context(wherryd())
        self.docker = stack.enter_context(dockerd())
        self.podman = stack.enter_context(podman())
        archive = busybox_archive(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "busybox.tar")
        for peer in (self.wherry, self.docker, self.podman):
            peer.run("import", "--change", 'CMD ["sh"]', str(archive), "busybox:latest")
        through = ["-H", f"unix://{self.wherry.root}/d.sock"]
        self.through = Peer("docker CLI on wherryd", [DOCKER, *through], environment(), self.wherry.pid)

    @property
    def all(self) -> list[Peer]:
        return [self.wherry, self.through, self.docker, self.podman]


def timed(peer: Peer, *args: str) -> Callable[[], float]:
    """A contestant: the wall time of the peer's client with these arguments, in milliseconds."""
    return lambda: seconds_of([*peer.client, *args], env=peer.env) * 1000


def run_and_remove(engines: Engines, rounds: int) -> Result:
    args = ("run", "--rm", "--network", "none", "busybox", "true")
    series = interleave({peer.name: timed(peer, *args) for peer in engines.all}, rounds)
    return Result("run --rm --network none busybox true", "ms", "docker.io", series, "≤ 0.2 × docker.io")


def run_detached(engines: Engines, rounds: int) -> Result:
    def contestant(peer: Peer) -> Callable[[], float]:
        def once() -> float:
            args = ("run", "-d", "--name", "bench", "--network", "none", "busybox", "sleep", "60")
            took = timed(peer, *args)()
            peer.remove("bench")
            return took

        return once

    series = interleave({peer.name: contestant(peer) for peer in engines.all}, rounds)
    return Result("run -d --network none busybox sleep", "ms", "docker.io", series, "")


@contextlib.contextmanager
def sleeper(*peers: Peer) -> Iterator[None]:
    """A container named `bench` in every engine."""
    for peer in peers:
        peer.run("run", "-d", "--name", "bench", "--network", "none", "busybox", "sleep", "600")
    try:
        yield
    finally:
        for peer in peers:
            peer.remove("bench")


def execute(engines: Engines, rounds: int) -> Result:
    with sleeper(engines.wherry, engines.docker, engines.podman):
        series = interleave({peer.name: timed(peer, "exec", "bench", "true") for peer in engines.all}, rounds)
    return Result("exec bench true", "ms", "docker.io", series, "≤ 0.6 × docker.io")


def list_containers(engines: Engines, rounds: int) -> Result:
    with sleeper(engines.wherry, engines.docker, engines.podman):
        series = interleave({peer.name: timed(peer, "ps") for peer in engines.all}, rounds)
    return Result("ps", "ms", "docker.io", series, "")


def load_debian(engines: Engines, rounds: int) -> Result:
    """Load and unpack a gzip'd Debian layer that the store does not have: another one each round.

    Nothing is removed until the end: ext4 looks long for an inode where many were freed within the last
    minute, and would measure that.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        archives = [debian_archive(Path(directory, str(number)), number) for number in range(rounds)]

        def contestant(load: Callable[[Path], float]) -> Callable[[], float]:
            turns = iter(archives)
            return lambda: load(next(turns))

        def loader(peer: Peer) -> Callable[[Path], float]:
            return lambda archive: timed(peer, "load", "-i", str(archive))()

        peers = [engines.wherry, engines.docker, engines.podman]
        contestants = {peer.name: contestant(loader(peer)) for peer in peers}
        contestants["GNU tar -xzf of the layer"] = contestant(untar)
        series = interleave(contestants, rounds, warmup=0)
    return Result("load of the Debian image", "ms", "docker.io", series, "≤ 0.6 × docker.io")


def untar(archive: Path) -> float:
    """GNU tar's time for the layer alone, in milliseconds."""
    target = archive.parent / "extracted"
    target.mkdir()
    return seconds_of(["tar", "-xzf", str(archive.parent / "layer.tar.gz"), "-C", str(target)]) * 1000


def debian_archive(directory: Path, number: int) -> Path:
    """A docker-archive of a Debian minbase image with one gzip'd layer, made unique by `number`."""
    directory.mkdir()
    tar = directory / "layer.tar"
    tar.write_bytes(debian_tar().read_bytes())
    (directory / f"round-{number}").write_text(f"{number}\n")
    subprocess.run(["tar", "-rf", tar, "-C", directory, f"round-{number}"], check=True)
    subprocess.run(["gzip", "-6", tar], check=True)
    return docker_archive(directory / "layer.tar.gz", directory / "image.tar", f"bench-debian:{number}")


def debian_tar() -> Path:
    """The root file system of a Debian minbase, made once by mmdebstrap and kept in .cache."""
    cached = Path(".cache/bench/debian.tar")
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(".partial")
        with open(partial, "wb") as output:
            make = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "bookworm", "-"]
            subprocess.run(make, stdout=output, stderr=subprocess.DEVNULL, check=True)
        partial.rename(cached)
    return cached


def lines_of_80(size: int) -> str:
    """A shell command that writes `size` bytes in lines of 80."""
    return f"yes {'0123456789' * 8:.79} | head -c {size}"


def stdout_throughput(engines: Engines, rounds: int) -> list[Result]:
    """Bytes a second from a container's stdout to the client's pipe, without and with the log."""
    size = 400_000_000
    script = lines_of_80(size)
    results = []
    for driver, name in (("none", "attach, log driver none"), ("json-file", "attach, log driver json-file")):

        def contestant(peer: Peer, driver: str = driver) -> Callable[[], float]:
            args = ["run", "--rm", "--network", "none", "--log-driver", driver, "busybox", "sh", "-c", script]
            return lambda: size / seconds_of([*peer.client, *args], env=peer.env) / 1e6

        peers = [engines.wherry, engines.through, engines.docker]
        series = interleave({peer.name: contestant(peer) for peer in peers}, rounds, warmup=0)
        results.append(Result(f"stdout: {name}", "MB/s", "docker.io", series, "≥ docker.io"))
    return results


def log_throughput(engines: Engines, rounds: int) -> Result:
    """Bytes a second that a detached container writes into its json-file log."""
    size = 200_000_000
    script = lines_of_80(size)

    def contestant(peer: Peer) -> Callable[[], float]:
        def once() -> float:
            peer.run("create", "--name", "bench", "--network", "none", "busybox", "sh", "-c", script)
            started = time.perf_counter()
            peer.run("start", "bench")
            peer.run("wait", "bench")
            took = time.perf_counter() - started
            peer.remove("bench")
            return size / took / 1e6

        return once

    peers = [engines.wherry, engines.docker]
    series = interleave({peer.name: contestant(peer) for peer in peers}, rounds, warmup=0)
    return Result("json-file log alone", "MB/s", "docker.io", series, "≥ docker.io")


def memory(engines: Engines, containers: int = 20) -> list[Result]:
    """Proportional memory of an idle container's shim and of the idle daemons, in MiB."""
    results = [Result("idle daemon, all its processes", "MiB", "docker.io", [], "≤ 0.5 × docker.io")]
    for peer in (engines.wherry, engines.docker):
        results[0].series.append(Series(peer.name, [sum_pss(descendants(peer.pid)) / 1024]))
    shims = Result("one idle container's shim", "MiB", "docker.io", [], "≤ 0.5 × containerd-shim")
    for peer in (engines.wherry, engines.docker, engines.podman):
        names = [f"idle{number}" for number in range(containers)]
        for name in names:
            peer.run("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "600")
        holders = [holder_of(int(peer.run("inspect", "-f", "{{.State.Pid}}", name))) for name in names]
        shims.series.append(Series(peer.name, [proportional_kib(pid)[1] / 1024 for pid in holders]))
        for name in names:
            peer.remove(name)
    return [*results, shims]


def sum_pss(pids: list[int]) -> int:
    return sum(proportional_kib(pid)[1] for pid in pids)


def holder_of(init: int) -> int:
    """The process that holds a container's init: its parent (shim, containerd-shim, conmon)."""
    with open(f"/proc/{init}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
