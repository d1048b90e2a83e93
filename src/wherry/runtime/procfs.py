"""A procfs that can be believed: what is written through it reaches the kernel and nothing else.

An image or a volume may put anything at /proc, or links and other files into it (CVE-2019-16884,
CVE-2025-52881).
"""

from __future__ import annotations

import os

from wherry.runtime.failures import StartFailed
from wherry.runtime.filesystem import make_filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.mounts import Tree

_ROOT_INODE = 1  # of every procfs, and of no directory on a disk


def of_container(tree: Tree) -> int:
    """The procfs made for the container, held by descriptor, or one nobody else has ever seen."""
    if tree.proc < 0:
        tree.proc = make_filesystem("proc", "proc")
    return tree.proc


def of_joined_container() -> int:
    """A procfs for a process that has joined a container: a new one, else /proc, proved to be one.

    Raises:
        StartFailed: /proc is something else.
    """
    try:
        return make_filesystem("proc", "proc")
    except OSError:  # refused in a user namespace where parts of /proc are covered
        pass
    fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(fd).st_ino != _ROOT_INODE:
        raise StartFailed("/proc of the container is not the root of a procfs")
    return fd
