"""Control group files: where the hierarchies are mounted, and reading and writing their files."""

from __future__ import annotations

import os

from wherry.linux.mount import mountinfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.linux.mount import MountInfo

# What a v1 mount's options name besides its controllers.
_V1_FLAGS = frozenset(
    ("rw", "ro", "noprefix", "clone_children", "xattr", "cpuset_v2_mode", "favordynmods", "nofavordynmods")
)


class Layout:
    """How this host mounts its control groups.

    `version` is 1 as soon as one v1 controller is mounted (the hybrid form), else 2.  `mounts` has a
    mountpoint for each v1 controller and named hierarchy (`name=systemd`); controllers mounted together
    share one.  `unified` is the mountpoint of v2, or None.
    """

    __slots__ = ("mounts", "unified", "version")

    def __init__(self, mounts: dict[str, str], unified: str | None) -> None:
        self.mounts = mounts
        self.unified = unified
        self.version = 1 if any(not name.startswith("name=") for name in mounts) else 2


_cached: Layout | None = None


def layout() -> Layout:
    """The layout of this process's mount namespace, found once.

    Raises:
        OSError: without /proc.
    """
    global _cached
    if _cached is None:
        _cached = find_layout(mountinfo())
    return _cached


def find_layout(mounts: Iterable[MountInfo]) -> Layout:
    """The layout that these mounts make; of several mounts of one hierarchy the first counts."""
    controllers: dict[str, str] = {}
    unified: str | None = None
    for each in mounts:
        if each.fstype == "cgroup2" and unified is None:
            unified = each.mountpoint
        elif each.fstype == "cgroup":
            for name in each.super_options:
                if name not in _V1_FLAGS and not name.startswith("release_agent="):
                    controllers.setdefault(name, each.mountpoint)
    return Layout(controllers, unified)


def parse_proc_cgroup(text: str) -> dict[str, str]:
    """The paths of a /proc/PID/cgroup file by controller; the unified hierarchy's key is empty.

    Spec: cgroups(7), /proc/PID/cgroup.
    """
    paths = {}
    for line in text.split("\n"):
        _, separator, rest = line.partition(":")
        if separator:
            names, _, path = rest.partition(":")
            for name in names.split(","):
                paths[name] = path
    return paths


def read(path: str) -> str:
    """The whole text of a control group file.

    Raises:
        OSError: with `path` as its filename.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    finally:
        os.close(fd)
    return b"".join(parts).decode("utf-8", "replace")


def write(path: str, value: str) -> None:
    """Write `value` to a control group file with one write, which the kernel takes or refuses whole.

    Raises:
        OSError: with `path` as its filename and the value in its text.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, f"write {value!r}: {os.strerror(error.errno or 0)}", path) from None
    finally:
        os.close(fd)
