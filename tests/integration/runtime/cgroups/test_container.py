"""A container's root tries to reach the host's disk and memory through nodes it makes itself."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.vm.marks import anywhere

from wherry.linux import cgroupfs
from wherry.runtime.cgroups import Cgroup

SOURCE = Path(__file__).parents[4] / "src"
BUSYBOX = shutil.which("busybox") or ""
GROUP = f"/wherry-test-container-{os.getpid()}"
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_SETFCAP"]

pytestmark = [
    *anywhere,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for containers"),
    pytest.mark.skipif(not BUSYBOX, reason="needs the package busybox-static"),
]


def disks() -> list[tuple[int, int]]:
    numbers = [Path(f"/sys/class/block/{name}/dev").read_text() for name in os.listdir("/sys/class/block")]
    return sorted((int(number.partition(":")[0]), int(number.partition(":")[2])) for number in numbers)


def configuration(script: str, devices: list[dict[str, Any]]) -> dict[str, Any]:
    namespaces = ["mount", "pid", "ipc", "uts", "network"]
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/busybox", "sh", "-c", script],
            "cwd": "/",
            "env": ["PATH=/"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces],
            "cgroupsPath": f"{GROUP}/one",
            "resources": {"devices": devices, "memory": {"limit": 64 << 20}},
        },
    }


def run(tmp_path: Path, script: str, devices: list[dict[str, Any]]) -> str:
    """What a container says that runs `script` with the runtime's program."""
    rootfs = tmp_path / "rootfs"
    for name in ("proc", "dev", "sys"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, rootfs / "busybox")
    (tmp_path / "config.json").write_text(json.dumps(configuration(script, devices)))
    program = "import sys; from wherry.runtime.main import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["--root", str(tmp_path / "state"), "run", "--bundle", str(tmp_path), f"one-{os.getpid()}"]
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-c", program, *arguments],
            env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
    finally:
        Cgroup.open(GROUP).delete()
    assert done.returncode == 0, done.stdout
    return done.stdout


def attack(numbers: list[tuple[int, int]], kind: str) -> str:
    lines = []
    for major, minor in numbers:
        lines.append(f"busybox mknod /n-{major}-{minor} {kind} {major} {minor}")
        lines.append(f"busybox head -c1 /n-{major}-{minor} >/dev/null && echo OPENED {major}:{minor}")
        lines.append(f"echo x 2>/dev/null 1<>/n-{major}-{minor} && echo WRITTEN {major}:{minor}")
    return "\n".join([*lines, "busybox ls / | busybox grep -c n-; :"])


@pytest.mark.parametrize(
    "devices", [[], [{"allow": False, "access": "rwm"}]], ids=["no rules", "rules of Docker"]
)
def test_a_container_makes_nodes_of_the_hosts_disks_and_cannot_open_one(
    tmp_path: Path, devices: list[dict[str, Any]]
) -> None:
    numbers = disks()

    output = run(tmp_path, attack(numbers, "b"), devices)

    assert "OPENED" not in output
    assert "WRITTEN" not in output
    assert output.count("Operation not permitted") >= len(numbers)
    assert output.splitlines()[-1] == str(len(numbers))
    made = [path for path in (tmp_path / "rootfs").iterdir() if path.name.startswith("n-")]
    assert all(stat.S_ISBLK(path.stat().st_mode) for path in made)


def test_memory_and_ports_are_closed_too(tmp_path: Path) -> None:
    numbers = [(1, 1), (1, 4), (1, 11), (10, 229), (10, 232)]

    output = run(tmp_path, attack(numbers, "c"), [])

    assert "OPENED" not in output
    assert "WRITTEN" not in output
    assert output.count("Operation not permitted") >= len(numbers)


def test_the_first_process_is_in_the_group_before_it_runs(tmp_path: Path) -> None:
    output = run(tmp_path, "busybox cat /proc/self/cgroup", [])

    paths = cgroupfs.parse_proc_cgroup(output)
    expected = [""] if cgroupfs.layout().version == 2 else list(cgroupfs.layout().mounts)
    assert {name: paths[name] for name in expected} == dict.fromkeys(expected, f"{GROUP}/one")
