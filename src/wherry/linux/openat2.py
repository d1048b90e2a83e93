"""openat2(2): open a path that cannot lead out of where it starts."""

from __future__ import annotations

import os
import struct

from wherry.linux.libc import NR, path_bytes, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20


def openat2(dir_fd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open `path` from `dir_fd` under the restrictions of `resolve`.

    The caller owns the descriptor, which is close-on-exec.  `mode` must be 0 unless the file may be made.

    Raises:
        OSError: EXDEV for a path that leaves, ELOOP for a forbidden link, EAGAIN when a rename
            raced with `..` (try again), ENOSYS before Linux 5.6.

    Spec: openat2(2).
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return syscall("openat2", NR["openat2"], dir_fd, path_bytes(path), how, len(how), path=path)
