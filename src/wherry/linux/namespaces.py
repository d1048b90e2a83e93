"""Linux namespaces: their flags, leaving and joining them."""

from __future__ import annotations

import fcntl
import os
import struct

from wherry.linux.libc import NR, syscall

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# By the runtime specification's words.
NAMESPACE_FLAGS = {
    "mount": CLONE_NEWNS,
    "network": CLONE_NEWNET,
    "pid": CLONE_NEWPID,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}
# The same by the file's name in /proc/PID/ns.
PROC_NAMES = {kind: {"mount": "mnt", "network": "net"}.get(kind, kind) for kind in NAMESPACE_FLAGS}

_AF_INET, _SOCK_DGRAM = 2, 2
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def unshare(flags: int) -> None:
    """Leave the shared namespaces that `flags` name, for new ones.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN, ENOSPC at the limit of user.max_*_namespaces.

    Spec: unshare(2).
    """
    syscall("unshare", NR["unshare"], flags)


def setns(fd: int, flags: int = 0) -> None:
    """Join the namespace open at `fd`, or, where `fd` is a pidfd, those `flags` name of its process.

    Raises:
        OSError: EPERM, EINVAL for a namespace of another kind, ESRCH for a process that is gone.

    Spec: setns(2).
    """
    syscall("setns", NR["setns"], fd, flags)


def in_initial_user_namespace() -> bool:
    """Whether this process's root is the host's: no id is mapped.

    Raises:
        OSError: without /proc.
    """
    fd = os.open("/proc/self/uid_map", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).split() == [b"0", b"0", b"4294967295"]
    finally:
        os.close(fd)


def bring_loopback_up() -> None:
    """Set `lo` of this network namespace up; the kernel then gives it 127.0.0.1 and ::1.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN.
    """
    fd = syscall("socket", NR["socket"], _AF_INET, _SOCK_DGRAM | os.O_CLOEXEC, 0)
    try:
        request = fcntl.ioctl(fd, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags: int = struct.unpack_from("H", request, 16)[0]
        fcntl.ioctl(fd, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
    finally:
        os.close(fd)
