"""Paths of procfs and sysfs that a container may not read, or not write.

Each path is opened once, without following a link, and covered by descriptor: a file by the null device,
whose number has been checked, a directory by an empty read-only tmpfs, a read-only path by a copy of itself.

Spec: runtime-spec, config-linux.md, Masked Paths and Readonly Paths.
"""

from __future__ import annotations

import os
import stat

from wherry.linux import mount as m
from wherry.linux.libc import AT_EMPTY_PATH
from wherry.runtime import devices, inside
from wherry.runtime.failures import StartFailed, reason
from wherry.runtime.filesystem import make_filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.mounts import Tree

_ONTO_FD = m.MOVE_MOUNT_F_EMPTY_PATH | m.MOVE_MOUNT_T_EMPTY_PATH
_CLONE = m.OPEN_TREE_CLONE | AT_EMPTY_PATH
_HARMLESS = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC
_ABSENT = (FileNotFoundError, NotADirectoryError)


def make_read_only(tree: Tree, paths: list[str]) -> None:
    """Cover each path that exists by a read-only copy of itself, mounts beneath it included.

    Raises:
        StartFailed: a path that cannot be covered.
    """
    for path in paths:
        try:
            target = _open(tree, path)
        except _ABSENT:
            continue
        except OSError as error:
            raise StartFailed(f"can't make {path} read-only: {reason(error)}") from error
        try:
            copy = m.open_tree("", _CLONE | m.AT_RECURSIVE, dir_fd=target)
            m.mount_setattr(copy, "", 0, attr_set=m.MOUNT_ATTR_RDONLY)
            m.move_mount(copy, "", target, "", _ONTO_FD)
            os.close(copy)
        except OSError as error:
            raise StartFailed(f"can't make {path} read-only: {reason(error)}") from error
        os.close(target)


def hide(tree: Tree, paths: list[str]) -> None:
    """Cover each path that exists so that it reads empty.

    Raises:
        StartFailed: a path that cannot be covered: then nothing starts (CVE-2025-31133).
    """
    null = empty = -1
    for path in paths:
        try:
            target = _open(tree, path)
        except _ABSENT:
            continue
        except OSError as error:
            raise StartFailed(f"can't mask path {path}: {reason(error)}") from error
        try:
            if stat.S_ISDIR(os.fstat(target).st_mode):
                # One filesystem for all: it is empty and stays so.  What is copied must be attached,
                # before Linux 6.15, so the first one serves as itself.
                if empty < 0:
                    cover = empty = make_filesystem("tmpfs", "tmpfs", ["ro", "size=0k"], _HARMLESS)
                else:
                    cover = m.open_tree("", _CLONE, dir_fd=empty)
            else:
                if null < 0:
                    null = devices.open_null(tree)
                cover = m.open_tree("", _CLONE, dir_fd=null)
            m.move_mount(cover, "", target, "", _ONTO_FD)
            if cover != empty:
                os.close(cover)
        except OSError as error:
            raise StartFailed(f"can't mask path {path}: {reason(error)}") from error
        os.close(target)


def _open(tree: Tree, path: str) -> int:
    """Open what is to be covered: in the procfs that was mounted, not in what may lie over it."""
    if tree.proc >= 0 and path.startswith("/proc/") and ".." not in path:
        return inside.open_inside(tree.proc, path.removeprefix("/proc/") or ".", os.O_PATH, follow=False)
    return inside.open_inside(tree.root, path, os.O_PATH, follow=False)
