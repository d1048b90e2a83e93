"""Mounts, namespaces, device rules and paths that every container starts from."""

from __future__ import annotations

from typing import Any

from wherry.core.spec.capabilities import DEFAULT_CAPABILITIES, capability_sets

OCI_VERSION = "1.2.0"
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
DEFAULT_SHM_SIZE = 64 * 1024 * 1024
_GUARDED = ["nosuid", "noexec", "nodev"]


def default_linux_spec(*, cgroup_namespace: bool, time_namespace: bool = True) -> dict[str, Any]:
    """A fresh document without a process's arguments, a user, or limits.

    `cgroup_namespace` is the default of cgroup v2; on v1 Docker shares the host's.
    `time_namespace` needs Linux 5.6.
    """
    namespaces = ["mount", "network", "uts", "pid", "ipc"]
    namespaces += ["time"] if time_namespace else []
    namespaces += ["cgroup"] if cgroup_namespace else []
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "capabilities": capability_sets(DEFAULT_CAPABILITIES),
            "noNewPrivileges": False,
            "oomScoreAdj": 0,
        },
        "root": {"path": "rootfs", "readonly": False},
        "mounts": default_mounts(),
        "linux": {
            "namespaces": [{"type": name} for name in namespaces],
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            "devices": [],
            "resources": {"devices": default_device_rules()},
        },
    }


def default_mounts(*, shm_size: int = DEFAULT_SHM_SIZE) -> list[dict[str, Any]]:
    """The kernel's file systems, in the order in which they have to be mounted."""
    return [
        _mount("/proc", "proc", "proc", *_GUARDED),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts",
            "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
        ),
        _mount("/sys", "sysfs", "sysfs", *_GUARDED, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", *_GUARDED),
        _mount("/dev/mqueue", "mqueue", "mqueue", *_GUARDED),
        _mount("/dev/shm", "tmpfs", "shm", *_GUARDED, "mode=1777", f"size={shm_size}"),
    ]  # fmt: skip


def default_device_rules() -> list[dict[str, Any]]:
    """Deny everything, then allow the harmless character devices; the order matters to cgroup v1."""
    allowed = [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in allowed
    ]
    fuse = {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
    return [*rules, fuse]


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
