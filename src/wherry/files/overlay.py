"""The marks that overlayfs keeps in its directories, and what a stack of them shows.

A removed name is a character device 0:0.  A directory with trusted.overlay.opaque hides what
lies below it.  In a directory that lies upon no other the kernel does not look for removed
names, and would list them: they must only stand where there is something to remove.

Spec: Linux Documentation/filesystems/overlayfs.rst, whiteouts and opaque directories.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.files.attributes import OPAQUE
from wherry.files.trees import DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is the mark of a removed name."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def set_opaque(fd: int) -> None:
    """Let the directory hide what lies below it."""
    os.setxattr(fd, OPAQUE, b"y")


def is_opaque(fd: int) -> bool:
    """Whether the directory hides what lies below it."""
    try:
        return os.getxattr(fd, OPAQUE) == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
            return False
        raise


def is_shown(layers: Sequence[int], path: bytes) -> bool:
    """Whether a stack of layers shows something at `path`; their root directories, topmost first."""
    holder, _, name = path.rpartition(b"/")
    members = open_merged(layers, holder)
    try:
        for member in members:
            try:
                return not is_whiteout(os.stat(name, dir_fd=member, follow_symlinks=False))
            except FileNotFoundError:
                continue
        return False
    finally:
        close_all(members)


def open_merged(layers: Sequence[int], path: bytes) -> list[int]:
    """The directories of which a stack of layers makes the one at `path`, topmost first.

    None where it shows no directory.  The caller closes them.
    """
    members = [os.dup(layer) for layer in layers]
    for name in filter(None, path.split(b"/")):
        above, members = members, []
        try:
            for directory in above:
                try:
                    members.append(os.open(name, DIRECTORY, dir_fd=directory))
                except FileNotFoundError:
                    continue
                except OSError:
                    break  # a file or a removal there hides what is further below
                if is_opaque(members[-1]):
                    break
        finally:
            close_all(above)
    return members


def close_all(fds: list[int]) -> None:
    """Close every one of `fds`."""
    for fd in fds:
        os.close(fd)
