"""Kernel parameters of a container's namespaces.

Only parameters that belong to a namespace of the container are set: any other would be the host's
(CVE-2022-0811).  They are written through the procfs that was mounted for the container, by descriptor, so
that nothing an image or a volume puts at /proc can redirect the write (CVE-2025-52881).
"""

from __future__ import annotations

import os

from wherry.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from wherry.runtime.failures import InvalidSpec, StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.plan import Namespaces

_IPC = frozenset(
    (
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    )
)  # fmt: skip
_WITHIN = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


def path_of(key: str, namespaces: Namespaces) -> str:
    """The path of parameter `key` below /proc/sys, if it is one of the container's own namespaces.

    Raises:
        InvalidSpec: it is the host's, or not a parameter's name.
    """
    # `net.ipv4.conf.eth0/1.mtu`: where dots separate, a slash stands for a dot.
    dotted = key.partition("/")[0].find(".") >= 0
    name = key.translate({ord("."): "/", ord("/"): "."}) if dotted else key
    parts = name.split("/")
    if any(part in ("", ".", "..") or not part.isprintable() or " " in part for part in parts):
        raise InvalidSpec(f"sysctl {key!r} is not the name of a kernel parameter")
    word = ".".join(parts)
    if word in _IPC or word.startswith("fs.mqueue."):
        allowed = namespaces.has("ipc")
    elif parts[0] == "net":
        allowed = namespaces.has("network")
        if not allowed:
            raise InvalidSpec(f'sysctl "{key}" not allowed in host network namespace')
    elif word == "kernel.domainname":
        allowed = namespaces.has("uts")
    elif word == "kernel.hostname":
        raise InvalidSpec(f'sysctl "{key}" conflicts with the OCI "hostname" field')
    else:
        allowed = parts[0] == "user" and namespaces.has("user")
    if not allowed:
        raise InvalidSpec(f'sysctl "{key}" is not in a separate kernel namespace')
    return name


def write_sysctls(proc_fd: int, sysctls: list[tuple[str, str]]) -> None:
    """Write values to paths below `sys` of the procfs at `proc_fd`.

    Raises:
        StartFailed: naming the parameter.
    """
    for path, value in sysctls:
        try:
            fd = openat2(proc_fd, f"sys/{path}", os.O_WRONLY, resolve=_WITHIN)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise StartFailed(f"write sysctl key {path.replace('/', '.')}: {reason(error)}") from error
