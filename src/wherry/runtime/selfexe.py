"""Keep the host's interpreter out of a container's reach (CVE-2019-5736).

Between clone and execve a container's process still runs the host's Python, and /proc/PID/exe leads to that
file: a program inside could open it for writing, now or when nobody runs it any more, or name it as its own
interpreter (`#!/proc/self/exe`).  So a process that will fork into containers first replaces itself by
the same program, executed from a detached read-only copy of the mount that holds it: through such a
link no open for writing succeeds, ever, and no mount call reaches it to change that.

This is the first thing such a process does, so it loads nothing but the C side of ctypes.
"""

from __future__ import annotations

import _ctypes
import os
import sys

_OPEN_TREE, _MOUNT_SETATTR = 428, 442  # the same on all architectures
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_CLONE_CLOEXEC = 0x1 | os.O_CLOEXEC
_READ_ONLY = (1).to_bytes(8, sys.byteorder) + bytes(24)  # struct mount_attr
_SELF = "/proc/self/exe"


def is_protected() -> bool:
    """Whether this process's executable lies on a read-only mount."""
    return bool(os.statvfs(_SELF).f_flag & os.ST_RDONLY)


def open_protected() -> int:
    """The executable of this process, opened on a detached read-only mount; the caller's descriptor.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN in the user namespace that owns the mounts.
    """
    path = os.fsencode(os.readlink(_SELF))
    fd = _call("open_tree", _OPEN_TREE, _AT_FDCWD, path, _CLONE_CLOEXEC)
    try:
        _call("mount_setattr", _MOUNT_SETATTR, fd, b"", _AT_EMPTY_PATH, _READ_ONLY, len(_READ_ONLY))
    except OSError:
        os.close(fd)
        raise
    return fd


def protect() -> None:
    """Go on in a protected process, with the same arguments; returns at once in one.

    Raises:
        OSError: it cannot be protected.
    """
    if is_protected():
        return
    try:
        fd = open_protected()
    except OSError:
        # An ordinary user may not clone mounts; nor may his containers write to a file that he may not.
        if os.access(_SELF, os.W_OK):
            raise
        return
    os.execve(fd, sys.orig_argv, os.environ)


def _call(name: str, number: int, *args: int | bytes) -> int:
    libc = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None: what is loaded
    result: int = _ctypes.call_function(_ctypes.dlsym(libc, "syscall"), (number, *args))
    if result < 0:
        code = _ctypes.get_errno()
        raise OSError(code, f"{name}: cannot make a read-only copy of {_SELF}")
    return result
