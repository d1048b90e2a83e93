"""The skeleton: an empty mount namespace, kept by a descriptor, in which containers' namespaces begin.

A new mount namespace is a copy of the present one.  A host with many mounts pays for that at each start,
and the copy is one more place that must be cut off and let go.  A process that starts many containers
makes a skeleton once, and each child copies that: one read-only tmpfs with nothing in it.
"""

from __future__ import annotations

import os

from wherry.linux import mount as m
from wherry.linux.namespaces import CLONE_NEWNS, unshare
from wherry.linux.process import SIGCHLD, clone3, pidfd_send_signal, wait_pidfd
from wherry.runtime.failures import StartFailed, reason
from wherry.runtime.filesystem import make_filesystem

_ATTRIBUTES = m.MOUNT_ATTR_RDONLY | m.MOUNT_ATTR_NOSUID | m.MOUNT_ATTR_NODEV | m.MOUNT_ATTR_NOEXEC
_SIGKILL = 9


def make_skeleton() -> int:
    """A new skeleton: the descriptor of its namespace, the caller's.

    Raises:
        StartFailed: it cannot be made, such as on an initramfs.
    """
    ready_read, ready_write = os.pipe()
    end_read, end_write = os.pipe()
    pid, pidfd = clone3(0, exit_signal=SIGCHLD)
    if pid == 0:
        _hold(ready_write, end_read, end_write)
    os.close(ready_write)
    try:
        answer = os.read(ready_read, 256)
        if answer != b"ready":
            raise StartFailed(f"make an empty mount namespace: {answer.decode('utf-8', 'replace')}")
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in (ready_read, end_read, end_write):
            os.close(fd)
        pidfd_send_signal(pidfd, _SIGKILL)
        wait_pidfd(pidfd)
        os.close(pidfd)


def _hold(ready: int, end: int, end_write: int) -> None:
    """In the child: empty its namespace and wait to be killed.  Never returns."""
    try:
        os.close(end_write)
        unshare(CLONE_NEWNS)
        m.mount("", "/", "", m.MS_REC | m.MS_PRIVATE)
        root = make_filesystem("tmpfs", "skeleton", ["size=0k", "mode=0555"], _ATTRIBUTES)
        m.move_mount(root, "", -100, "/", m.MOVE_MOUNT_F_EMPTY_PATH)
        os.fchdir(root)
        m.pivot_root(".", ".")
        m.umount(".", m.MNT_DETACH)
        os.write(ready, b"ready")
        os.read(end, 1)
    except OSError as error:
        os.write(ready, reason(error).encode())
    finally:
        os._exit(0)
