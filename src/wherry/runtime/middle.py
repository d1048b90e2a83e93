"""A child for a user namespace that exists already.

A process must be in the user namespace before it makes the others, or they would not belong to it; but a
pid namespace takes only children in.  So a short-lived process joins, and makes the real child with
CLONE_PARENT: its parent is ours, not the one in the middle.
"""

from __future__ import annotations

import os

from wherry.linux import namespaces
from wherry.linux.process import SIGCHLD, clone3, pidfd_open, wait_pidfd
from wherry.runtime import init
from wherry.runtime.failures import StartFailed, reason

_CLONE_PARENT = 0x8000


def clone_through(setup: init.Setup, user_fd: int, flags: int, cgroup_fd: int) -> tuple[int, int]:
    """The child as (pid, pidfd), born in the user namespace of `user_fd` and in new ones for `flags`.

    Raises:
        StartFailed: the namespace cannot be joined, or the child not be made.
    """
    joined = dict(setup.join_fds)
    pid_fd = joined.get("pid", -1)
    setup.join_fds = [(kind, fd) for kind, fd in setup.join_fds if kind not in ("user", "pid")]
    read, write = os.pipe()
    try:
        _, pidfd = clone3(0, cgroup_fd=cgroup_fd, exit_signal=SIGCHLD)
        if pidfd < 0:
            os.close(read)
            _make_child(setup, user_fd, pid_fd, flags, write)
        os.close(write)
        write = -1
        answer = os.read(read, 256)
        wait_pidfd(pidfd)
        os.close(pidfd)
    except OSError as error:
        raise StartFailed(f"clone: {reason(error)}") from error
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    if not answer.isdigit():
        raise StartFailed(f"join user namespace: {answer.decode('utf-8', 'replace')}")
    pid = int(answer)
    return pid, pidfd_open(pid)  # our child, not reaped: the number is its own


def _make_child(setup: init.Setup, user_fd: int, pid_fd: int, flags: int, write: int) -> None:
    """In the middle process.  Never returns."""
    try:
        namespaces.setns(user_fd, namespaces.CLONE_NEWUSER)
        if pid_fd >= 0:
            namespaces.setns(pid_fd, namespaces.CLONE_NEWPID)
        # CLONE_PARENT takes over the exit signal of the one in the middle.
        pid, _ = clone3(flags | _CLONE_PARENT, want_pidfd=False, exit_signal=0)
        if pid == 0:
            init.run_init(setup)
        os.write(write, b"%d" % pid)
    except OSError as error:
        os.write(write, reason(error).encode())
    finally:
        os._exit(0)
