"""What binds the program beyond namespaces: capabilities, security modules, personality, scheduling.

Whatever is asked for is applied, or the start fails: a container that runs with less confinement than its
configuration says is the worst of the outcomes.
"""

from __future__ import annotations

import os
import struct

from wherry.linux import capabilities
from wherry.linux.libc import syscall
from wherry.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from wherry.linux.process import PR_CAPBSET_DROP, PR_CAPBSET_READ, prctl
from wherry.runtime.failures import InvalidSpec, StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.runtime.plan import Process

_WITHIN = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_bounding_bits: tuple[int, ...] = ()
_EMPTY: frozenset[str] = frozenset()
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
_SCHEDULERS = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}  # fmt: skip
_SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08, "SCHED_FLAG_KEEP_PARAMS": 0x10, "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}  # fmt: skip
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_CALLS = {
    "x86_64": {"personality": 135, "ioprio_set": 251, "sched_setattr": 314},
    "aarch64": {"personality": 92, "ioprio_set": 30, "sched_setattr": 274},
}.get(os.uname().machine, {})


def known(names: frozenset[str]) -> frozenset[str]:
    """Those of `names` that this kernel has; the specification lets a runtime pass over the rest."""
    return names.intersection(capabilities.NAMES[: capabilities.last_cap() + 1])


def bounding_bits() -> tuple[int, ...]:
    """The capabilities in the bounding set as this process first found it: it can only shrink.

    Asking is a call for each; a process that starts many containers has asked before it forks.
    """
    global _bounding_bits
    if not _bounding_bits:
        _bounding_bits = tuple(
            bit for bit in range(capabilities.last_cap() + 1) if prctl(PR_CAPBSET_READ, bit)
        )
    return _bounding_bits


def drop_bounding(process: Process) -> None:
    """Cut the bounding set, while CAP_SETPCAP is still there to allow it.

    Raises:
        StartFailed: CAP_SETPCAP is missing.
    """
    kept = {capabilities.number(name) for name in known((process.capabilities or {}).get("bounding", _EMPTY))}
    try:
        for bit in bounding_bits():
            if bit not in kept:
                prctl(PR_CAPBSET_DROP, bit)
    except OSError as error:
        raise StartFailed(f"unable to apply bounding set: {reason(error)}") from error


def apply_capabilities(process: Process) -> None:
    """Set what is left of the sets; inheritable and ambient are empty unless asked for.

    Raises:
        StartFailed: a capability that is not ours to give.
    """
    sets = process.capabilities or {}
    effective, permitted, inheritable, ambient = (
        known(sets.get(kind, _EMPTY)) for kind in ("effective", "permitted", "inheritable", "ambient")
    )
    try:
        capabilities.set_sets(effective, permitted, inheritable)
        capabilities.set_ambient(ambient & permitted & inheritable)
    except OSError as error:
        raise StartFailed(f"unable to apply caps: {reason(error)}") from error


def check_modules(process: Process, mount_label: str) -> None:
    """Refuse labels of a security module that this kernel does not run, before any process is made.

    Raises:
        StartFailed: naming the module.
    """
    if (process.selinux_label or mount_label) and not os.path.isdir("/sys/fs/selinux/class"):
        raise StartFailed("selinux label is specified in config, but selinux is disabled or not supported")
    if process.apparmor_profile and not apparmor_is_enabled():
        raise StartFailed(
            f"unable to apply apparmor profile {process.apparmor_profile!r}:"
            " apparmor is not enabled on the host"
        )


def apparmor_is_enabled() -> bool:
    """Whether this kernel runs AppArmor."""
    try:
        with open("/sys/module/apparmor/parameters/enabled", "rb") as file:
            return file.read(1) == b"Y"
    except OSError:
        return False


def label_next_program(process: Process, proc_fd: int) -> None:
    """Ask the security modules to confine the next execve.

    Raises:
        StartFailed: the label is unknown, or procfs is not the real one.
    """
    if process.apparmor_profile:
        _write_label(proc_fd, "attr/apparmor/exec", f"exec {process.apparmor_profile}")
    if process.selinux_label:
        _write_label(proc_fd, "attr/exec", process.selinux_label)


def set_personality(section: dict[str, Any] | None) -> None:
    """Set the execution domain.

    Raises:
        InvalidSpec: unknown domain.
        StartFailed: the kernel refuses it.
    """
    if not section:
        return
    domain = str(section.get("domain") or "")
    if domain not in _PERSONALITIES or section.get("flags"):
        raise InvalidSpec(f"personality {section!r} is not supported")
    _call("personality", _PERSONALITIES[domain])


def set_scheduling(process: Process) -> None:
    """Set scheduler and I/O priority.

    Raises:
        InvalidSpec: unknown words.
        StartFailed: the kernel refuses the values.
    """
    if process.scheduler:
        _call("sched_setattr", 0, _scheduler_attributes(process.scheduler), 0)
    if process.io_priority:
        kind = str(process.io_priority.get("class") or "")
        if kind not in _IO_CLASSES:
            raise InvalidSpec(f"invalid ioPriority.Class: {kind}")
        priority = int(process.io_priority.get("priority") or 0)
        _call("ioprio_set", 1, 0, _IO_CLASSES[kind] << 13 | priority)


def _scheduler_attributes(section: dict[str, Any]) -> bytes:
    policy = str(section.get("policy") or "")
    flags = [str(each) for each in section.get("flags") or []]
    if policy not in _SCHEDULERS or any(flag not in _SCHEDULER_FLAGS for flag in flags):
        raise InvalidSpec(f"scheduler {section!r} is not supported")
    return struct.pack(
        "IIQiIQQQ",
        48,
        _SCHEDULERS[policy],
        sum(_SCHEDULER_FLAGS[flag] for flag in flags),
        int(section.get("nice") or 0),
        int(section.get("priority") or 0),
        *(int(section.get(key) or 0) for key in ("runtime", "deadline", "period")),
    )


def _write_label(proc_fd: int, file: str, label: str) -> None:
    path = f"{os.getpid()}/{file}"
    try:
        fd = openat2(proc_fd, path, os.O_WRONLY, resolve=_WITHIN)
        try:
            os.write(fd, label.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise StartFailed(f"unable to apply label {label!r}: {file}: {reason(error)}") from error


def _call(name: str, *args: int | bytes) -> None:
    if name not in _CALLS:
        raise StartFailed(f"{name}: not known on {os.uname().machine}")
    try:
        syscall(name, _CALLS[name], *args)
    except OSError as error:
        raise StartFailed(f"{name}: {reason(error)}") from error
