"""spec: write a configuration to start from."""

from __future__ import annotations

import os

from wherry.errors import AlreadyExists
from wherry.files.json import dumps
from wherry.runtime.commands.flags import BOOLEAN, STRING, Options
from wherry.runtime.hooks import OCI_VERSION

FLAGS = {"bundle": (STRING, "", "b"), "rootless": (BOOLEAN, False, "")}

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_NO = ["nosuid", "noexec", "nodev"]


def run(options: Options, arguments: list[str]) -> int:
    del arguments
    path = os.path.join(options["bundle"], "config.json")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise AlreadyExists(f"file {path} exists. Remove it first") from None
    document = default_spec()
    if options["rootless"]:
        _make_rootless(document)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(dumps(document, indent="\t") + "\n")
    return 0


def default_spec() -> dict[str, object]:
    """A shell on a terminal, with the namespaces, mounts and masks that a container should have."""
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: list(_CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "wherry",
        "mounts": _mounts(),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }  # fmt: skip


def _mounts() -> list[dict[str, object]]:
    rows: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", []),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts", "devpts", "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/dev/shm", "tmpfs", "shm", [*_NO, "mode=1777", "size=65536k"]),
        ("/dev/mqueue", "mqueue", "mqueue", [*_NO]),
        ("/sys", "sysfs", "sysfs", [*_NO, "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", [*_NO, "relatime", "ro"]),
    ]  # fmt: skip
    return [
        {"destination": place, "type": kind, "source": source, "options": options} if options else
        {"destination": place, "type": kind, "source": source}
        for place, kind, source, options in rows
    ]  # fmt: skip


def _make_rootless(document: dict[str, object]) -> None:
    """For a user without rights: a user namespace with one id, the host's network and sysfs."""
    linux = document["linux"]
    assert isinstance(linux, dict)
    linux["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "user")]
    linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    linux.pop("resources")
    document["mounts"] = [_rootless_mount(mount) for mount in _mounts()]


def _rootless_mount(mount: dict[str, object]) -> dict[str, object]:
    if mount["destination"] == "/sys":  # a new sysfs takes a network namespace of one's own
        return {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", *_NO, "ro"]}
    options = mount.get("options")
    if not isinstance(options, list):
        return mount
    # Of the groups only one is mapped.
    return {**mount, "options": [each for each in options if not each.startswith("gid=")]}
