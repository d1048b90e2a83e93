"""The root of a container: from a detached mount to the only thing its mount namespace holds.

Spec: pivot_root(2).
"""

from __future__ import annotations

import os

from wherry.linux import mount as m
from wherry.linux.libc import AT_FDCWD
from wherry.runtime import inside, masks
from wherry.runtime.failures import StartFailed, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.runtime.mounts import Tree
    from wherry.runtime.plan import Plan


def attach_root(tree: Tree, *, at: str, skeleton: bool) -> None:
    """Attach the root at `at`, in the mount namespace that this process has just entered.

    Raises:
        StartFailed: the root cannot be mounted.
    """
    try:
        if not skeleton:
            # A copy of the host's mounts: first cut the way back, or ours would appear on the host.
            m.mount("", "/", "", m.MS_REC | m.MS_SLAVE)
        m.move_mount(tree.root, "", AT_FDCWD, at, m.MOVE_MOUNT_F_EMPTY_PATH)
    except OSError as error:
        raise StartFailed(f"mount rootfs: {reason(error)}") from error


def pivot(tree: Tree) -> None:
    """Make the container's root the root, and let go of all that was there before.

    Never a mere chroot: with CAP_SYS_CHROOT, which is in the default set, a program gets out of one, and
    would find here whatever else the namespace holds.

    Raises:
        StartFailed: EINVAL where the host itself runs from an initramfs, which cannot be left.
    """
    try:
        os.fchdir(tree.root)
        m.pivot_root(".", ".")
        m.umount(".", m.MNT_DETACH)  # the old root lies on the new one; `.` finds the topmost
        os.chdir("/")
    except OSError as error:
        raise StartFailed(f"pivot_root: {reason(error)}") from error


def finish(plan: Plan, tree: Tree) -> None:
    """Take away what the container shall not read or write, when all that must be written is.

    Raises:
        StartFailed: a path that cannot be covered.
    """
    _make_working_directory(tree, plan.process.cwd)
    masks.make_read_only(tree, plan.readonly_paths)
    masks.hide(tree, plan.masked_paths)
    try:
        for fd in tree.late_read_only:
            m.mount_setattr(fd, "", 0, attr_set=m.MOUNT_ATTR_RDONLY)
        if plan.root_readonly:
            m.mount_setattr(tree.root, "", 0, attr_set=m.MOUNT_ATTR_RDONLY)
    except OSError as error:
        raise StartFailed(f"make rootfs read-only: {reason(error)}") from error


def _make_working_directory(tree: Tree, path: str) -> None:
    """As runc does: an image may name a directory that it lacks.  Entering it is what can fail."""
    try:
        os.close(inside.directory_inside(tree.root, path))
    except OSError:
        pass
