"""Bundles and a runtime to run them; whatever a test leaves behind is removed, and its mounts are counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "cat", "chmod", "chroot", "date", "dd", "echo", "env", "grep", "head", "hostname", "id", "kill", "ln",
    "ls", "mkdir", "mknod", "mount", "od", "ps", "pwd", "readlink", "rm", "setsid", "sh", "sleep", "stat",
    "stty", "tail", "test", "touch", "true", "tty", "umount", "unshare", "wc",
)  # fmt: skip
SOURCE = Path(__file__).parents[3] / "src"
LAUNCHER = Path(sys.prefix) / "bin" / "wherry-runtime"
# Where the package is not installed, as in the virtual machine: the same without the shell's part.
_CODE = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
from wherry.runtime.main import main
sys.exit(main(sys.argv[1:]))
"""
PROGRAM = [str(LAUNCHER)] if LAUNCHER.exists() else [sys.executable, "-I", "-S", "-E", "-c", _CODE]
DEFAULT_CAPABILITIES = [
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
]
MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
    "/sys/devices/virtual/powercap", "/sys/firmware",
]  # fmt: skip
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

Spec = dict[str, Any]


def make_rootfs(path: Path) -> Path:
    """A root with busybox and nothing else of the host."""
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp"):
        (path / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, path / "bin/busybox")
    for applet in APPLETS:
        (path / "bin" / applet).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    return path


def docker_spec(*args: str, capabilities: list[str] | None = None) -> Spec:
    """What Docker's engine writes for a plain container that runs `args`."""
    no = ["nosuid", "noexec", "nodev"]
    names = DEFAULT_CAPABILITIES if capabilities is None else capabilities
    rows = [
        ("/proc", "proc", "proc", no),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/sys", "sysfs", "sysfs", [*no, "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", *no]),
        ("/dev/mqueue", "mqueue", "mqueue", no),
        ("/dev/shm", "tmpfs", "shm", [*no, "mode=1777", "size=67108864"]),
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0, "additionalGids": [0, 10]},
            "args": list(args),
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "MARK=inside"],
            "cwd": "/",
            "capabilities": {kind: [*names] for kind in ("bounding", "effective", "permitted")},
            "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [
            {"destination": place, "type": kind, "source": source, "options": options}
            for place, kind, source, options in rows
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc", "cgroup")],
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "resources": {"devices": [{"allow": False, "access": "rwm"}], "pids": {"limit": 64}},
        },
    }


class Bundle:
    """A bundle's directory and its configuration, written when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rootfs = make_rootfs(path / "rootfs")
        self.spec = docker_spec("true")

    def write(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.spec))

    def command(self, *args: str) -> None:
        self.spec["process"]["args"] = list(args)

    def add_capability(self, name: str) -> None:
        for names in self.spec["process"]["capabilities"].values():
            names.append(name)

    def mount(self, destination: str, kind: str, source: str, *options: str) -> None:
        entry = {"destination": destination, "type": kind, "source": source, "options": list(options)}
        self.spec["mounts"].append(entry)


class Runtime:
    """The command line of an OCI runtime with a root of its own."""

    def __init__(self, program: list[str], root: Path, log: Path) -> None:
        self.program = program
        self.root = root
        self.log = log
        self.ids: set[str] = set()

    def __call__(self, *args: str, timeout: float = 30, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [
            *self.program,
            "--root",
            str(self.root),
            "--log",
            str(self.log),
            "--log-format",
            "json",
            *args,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)

    def _named(self, name: str) -> str:
        self.ids.add(name)
        return name

    def run(
        self, bundle: Bundle, *flags: str, name: str = "c", **options: Any
    ) -> subprocess.CompletedProcess[str]:
        bundle.write()
        bundle.spec["linux"].setdefault("cgroupsPath", f"/wherry-test/{os.getpid()}-{name}")
        bundle.write()
        return self("run", *flags, "--bundle", str(bundle.path), self._named(name), **options)

    def create(self, bundle: Bundle, *flags: str, name: str = "c") -> subprocess.CompletedProcess[str]:
        """As a daemon would: what the container prints goes to a file, or the pipes would never end."""
        bundle.spec["linux"].setdefault("cgroupsPath", f"/wherry-test/{os.getpid()}-{name}")
        bundle.write()
        output = self.root.parent / f"{name}.out"
        command = [*self.program, "--root", str(self.root), "--log", str(self.log), "--log-format", "json"]
        command += ["create", *flags, "--bundle", str(bundle.path), self._named(name)]
        with output.open("wb") as file:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=30, text=True
            )

    def output(self, name: str = "c") -> str:
        return (self.root.parent / f"{name}.out").read_text()

    def state(self, name: str = "c") -> dict[str, Any]:
        result = self("state", name)
        return json.loads(result.stdout) if result.returncode == 0 else {}

    def last_error(self) -> str:
        """The message of the last record of the log, which containerd and podman show."""
        records = [json.loads(line) for line in self.log.read_text().splitlines()]
        return str([record for record in records if record["level"] == "error"][-1]["msg"])

    def clean(self) -> None:
        for name in self.ids:
            self("delete", "--force", name)


def _mounts(ours: Path) -> list[str]:
    """Mountpoints of the test's own, and of what a wrong mount would cover: not those of other tests."""
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [each for each in points if each.startswith((str(ours), "/proc", "/sys", "/dev")) or each == "/"]


@pytest.fixture(scope="session", autouse=True)
def parent_cgroup() -> Iterator[None]:
    """The group that all containers of these tests lie in: the runtime leaves parents alone."""
    yield
    for directory in [Path("/sys/fs/cgroup/wherry-test"), *Path("/sys/fs/cgroup").glob("*/wherry-test")]:
        try:
            directory.rmdir()
        except OSError:  # not there, or another run's containers are in it
            pass


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "bundle").mkdir()
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    if os.geteuid():
        pytest.skip("needs root")
    before = _mounts(tmp_path)
    runtime = Runtime(PROGRAM, tmp_path / "state", tmp_path / "log.json")
    yield runtime
    runtime.clean()
    assert _mounts(tmp_path) == before, "the host's mounts have changed"
    assert not (tmp_path / "state").exists() or not [
        p for p in (tmp_path / "state").iterdir() if p.name[0] != "."
    ]


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """Files of the host that no container may touch."""
    directory = tmp_path / "canary"
    (directory / "d").mkdir(parents=True)
    (directory / "f").write_text("secret")
    (directory / "f").chmod(0o600)
    before = (directory / "f").stat()
    yield directory
    after = (directory / "f").stat()
    assert (directory / "f").read_text() == "secret"
    assert (before.st_mode, before.st_uid, before.st_mtime_ns) == (
        after.st_mode,
        after.st_uid,
        after.st_mtime_ns,
    )
    assert list((directory / "d").iterdir()) == []
