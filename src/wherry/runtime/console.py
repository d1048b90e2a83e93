"""The terminal of a container's process.

The pair comes from the devpts that was mounted for the container.  Its slave side is reached through the
master, and /dev/console is bound from its descriptor: no path under /dev/pts is looked up, for by then it
might be somebody else's link (CVE-2025-52565).
"""

from __future__ import annotations

import os
import stat

from wherry.linux import mount as m
from wherry.linux import tty
from wherry.linux.libc import AT_EMPTY_PATH
from wherry.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2
from wherry.runtime import inside
from wherry.runtime.failures import StartFailed, reason
from wherry.runtime.filesystem import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.mounts import Tree

_PTY_SLAVE_MAJOR = 136  # to 143


def open_terminal(devpts_fd: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """A new terminal of the devpts at `devpts_fd`, or of /dev/ptmx for -1: (master, slave).

    Raises:
        StartFailed: no devpts, or none of its terminals is free.
    """
    try:
        master, slave = tty.open_pty(devpts_fd if devpts_fd >= 0 else None)
        if size:
            tty.set_window_size(master, *size)
    except OSError as error:
        raise StartFailed(f"open console: {reason(error)}") from error
    if not _PTY_SLAVE_MAJOR <= os.major(os.fstat(slave).st_rdev) < _PTY_SLAVE_MAJOR + 8:
        raise StartFailed("open console: /dev/ptmx of the container is not a terminal multiplexer")
    return master, slave


def open_devpts() -> int:
    """The devpts at /dev/pts of the container that this process has joined.

    Raises:
        StartFailed: something else lies there.
    """
    try:
        fd = openat2(
            -100, "/dev/pts", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
        )
        ptmx = os.stat("ptmx", dir_fd=fd, follow_symlinks=False)
    except OSError as error:
        raise StartFailed(f"open console: /dev/pts of the container: {reason(error)}") from error
    if not stat.S_ISCHR(ptmx.st_mode) or ptmx.st_rdev != os.makedev(5, 2):
        raise StartFailed("open console: /dev/pts of the container is not a devpts")
    return fd


def bind_console(tree: Tree, slave: int) -> None:
    """Make the terminal /dev/console of the container.

    Raises:
        StartFailed: /dev/console is a link or a directory.
    """
    try:
        target = _console_file(tree)
        copy = m.open_tree("", m.OPEN_TREE_CLONE | AT_EMPTY_PATH, dir_fd=slave)
    except OSError as error:
        raise StartFailed(f"bind /dev/console: {reason(error)}") from error
    attach(copy, target, source="console", destination="/dev/console")
    os.close(copy)
    os.close(target)


def take_terminal(slave: int) -> None:
    """Make the terminal the session's own and the three standard streams.

    Raises:
        StartFailed: this process does not lead a session.
    """
    try:
        tty.make_controlling(slave)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
    except OSError as error:
        raise StartFailed(f"take console: {reason(error)}") from error
    if slave > 2:
        os.close(slave)


def _console_file(tree: Tree) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW
    if tree.dev < 0:
        return inside.open_inside(tree.root, "/dev/console", flags, follow=False)
    try:
        os.mknod("console", stat.S_IFREG | 0o666, dir_fd=tree.dev)
    except FileExistsError:
        pass
    return inside.open_inside(tree.dev, "console", flags, follow=False)
