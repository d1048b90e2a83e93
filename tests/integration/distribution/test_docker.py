"""docker.io reads what we save and writes what we load."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.distribution.conftest import Stores, call, gather, pieces_of, run, tar_of

from wherry.core.transfer import import_image, load, read_image, save
from wherry.oci.reference import parse_normalized


@pytest.fixture(scope="module")
def docker() -> Iterator[tuple[str, ...]]:
    """The docker command, talking to a dockerd of its own."""
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    socket = f"unix://{root}/s"
    with (root / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                "dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "-p", f"{root}/pid",
                "-H", socket, "--iptables=false", "--bridge=none", "--storage-driver=vfs",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(
            ["docker", "-H", socket, "version"], capture_output=True, check=False
        ).returncode:
            assert daemon.poll() is None, (root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield ("docker", "-H", socket)
    finally:
        daemon.terminate()
        daemon.wait(20)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if f" {root}/" in line:
                subprocess.run(["umount", line.split()[1]], check=False)
        shutil.rmtree(root)


def test_images_go_to_docker_and_come_back(
    docker: tuple[str, ...], stores: Stores, other_stores: Stores, tmp_path: Path
) -> None:
    layer = tar_of({"bin/busybox": Path("/bin/busybox").read_bytes()})
    names = [parse_normalized("one:1"), parse_normalized("two/x:2")]
    for name in names:
        changes = ['CMD ["/bin/busybox", "echo", "hi"]', "ENV A=b"]
        run(import_image(stores.services, pieces_of(layer), reference=name, changes=changes))
    archive = run(gather(save(stores.services, names)))

    loaded = call(*docker, "load", stdin=archive).decode()
    said = call(*docker, "run", "--rm", "--network", "none", "one:1")
    back = call(*docker, "save", "one:1", "two/x:2")
    results = run(load(other_stores.services, pieces_of(back)))

    assert loaded.splitlines() == ["Loaded image: one:1", "Loaded image: two/x:2"]
    assert said == b"hi\n"
    assert sorted(item.name or "" for item in results) == ["one:1", "two/x:2"]
    for name in names:
        mine = read_image(stores.content, stores.services.images.get("moby", str(name)).target)[1]
        theirs = read_image(other_stores.content, other_stores.services.images.get("moby", str(name)).target)[
            1
        ]
        assert theirs.diff_ids == mine.diff_ids
        assert theirs.process["Env"] == mine.process["Env"]
