"""Capabilities of this thread: the five sets of capabilities(7), by name."""

from __future__ import annotations

import ctypes
import errno
import struct

from wherry.linux.libc import NR, syscall
from wherry.linux.process import PR_CAP_AMBIENT, PR_CAPBSET_DROP, PR_CAPBSET_READ, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# In the order of their numbers.
NAMES: tuple[str, ...] = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
_NUMBERS = {name: bit for bit, name in enumerate(NAMES)}

_VERSION_3 = 0x20080522
_AMBIENT_IS_SET, _AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 1, 2, 4
_last = -1


def number(name: str) -> int:
    """The bit of capability `name`.

    Raises:
        OSError: EINVAL for a name that is none.
    """
    try:
        return _NUMBERS[name]
    except KeyError:
        raise OSError(errno.EINVAL, f"unknown capability {name!r}") from None


def last_cap() -> int:
    """The highest capability of this kernel, which may be beyond our names."""
    global _last
    while _last < 0 or _bounded(_last + 1) is not None:
        _last += 1
    return _last


def bounding() -> frozenset[str]:
    """The names in this thread's bounding set."""
    return frozenset(name for bit, name in enumerate(NAMES) if _bounded(bit))


def drop_bounding(keep: Iterable[str]) -> None:
    """Drop all from the bounding set but `keep`, also what this program has no name for.

    Raises:
        OSError: EPERM without CAP_SETPCAP.
    """
    kept = _mask(keep)
    for bit in range(last_cap() + 1):
        if not kept >> bit & 1 and _bounded(bit):
            prctl(PR_CAPBSET_DROP, bit)


def set_sets(effective: Iterable[str], permitted: Iterable[str], inheritable: Iterable[str]) -> None:
    """Set the three sets at once.

    Raises:
        OSError: EPERM for one that is not ours to give.

    Spec: capset(2).
    """
    masks = [_mask(names) for names in (effective, permitted, inheritable)]
    words = [mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in masks]
    syscall("capset", NR["capset"], struct.pack("Ii", _VERSION_3, 0), struct.pack("6I", *words))


def set_ambient(names: Iterable[str]) -> None:
    """Make the ambient set `names`, each of which must be permitted and inheritable.

    Raises:
        OSError: EPERM.
    """
    prctl(PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    for name in names:
        prctl(PR_CAP_AMBIENT, _AMBIENT_RAISE, number(name))


def current() -> dict[str, frozenset[str]]:
    """The five sets by the runtime specification's words.

    Spec: capget(2).
    """
    buffer = (ctypes.c_uint32 * 6)()
    syscall("capget", NR["capget"], struct.pack("Ii", _VERSION_3, 0), buffer)
    masks = [buffer[index] | buffer[index + 3] << 32 for index in range(3)]
    sets = {
        kind: frozenset(name for bit, name in enumerate(NAMES) if mask >> bit & 1)
        for kind, mask in zip(("effective", "permitted", "inheritable"), masks, strict=True)
    }
    known = NAMES[: last_cap() + 1]
    sets["bounding"] = bounding()
    sets["ambient"] = frozenset(
        name for bit, name in enumerate(known) if prctl(PR_CAP_AMBIENT, _AMBIENT_IS_SET, bit)
    )
    return sets


def _bounded(bit: int) -> bool | None:
    """Whether `bit` is in the bounding set; None beyond the kernel's last."""
    try:
        return prctl(PR_CAPBSET_READ, bit) == 1
    except OSError:
        return None


def _mask(names: Iterable[str]) -> int:
    mask = 0
    for name in names:
        mask |= 1 << number(name)
    return mask
