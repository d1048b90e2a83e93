"""System calls by number, and the numbers this package uses.

`os` offers what it has; the rest goes through `syscall`, which keeps the errno and names the call.
Arguments travel as C words, so nothing here allocates or copies behind the kernel's back.
"""

from __future__ import annotations

import ctypes
import os

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100

MACHINE = os.uname().machine

# From 424 on all architectures share their numbers.
_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
_X86_64 = {
    "madvise": 28,
    "socket": 41,
    "capget": 125,
    "capset": 126,
    "pivot_root": 155,
    "prctl": 157,
    "mount": 165,
    "umount2": 166,
    "keyctl": 250,
    "unshare": 272,
    "setns": 308,
    "seccomp": 317,
    "bpf": 321,
}
_AARCH64 = {
    "umount2": 39,
    "mount": 40,
    "pivot_root": 41,
    "capget": 90,
    "capset": 91,
    "unshare": 97,
    "prctl": 167,
    "socket": 198,
    "keyctl": 219,
    "madvise": 233,
    "setns": 268,
    "seccomp": 277,
    "bpf": 280,
}
NR: dict[str, int] = _COMMON | (_AARCH64 if MACHINE == "aarch64" else _X86_64)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # What may stand in a C word: a number, bytes or a buffer by address, or a null pointer.
    Word = int | bytes | ctypes.Array[Any] | None

_libc = ctypes.CDLL(None, use_errno=True)
_holding = ctypes.PyDLL(None, use_errno=True)
for _library in (_libc, _holding):
    # With all types known beforehand a call takes two thirds of the time.  A pointer takes a number, too.
    _library.syscall.argtypes = [ctypes.c_long, *(6 * (ctypes.c_void_p,))]
    _library.syscall.restype = ctypes.c_long


def syscall(
    name: str,
    number: int,
    a: Word = 0,
    b: Word = 0,
    c: Word = 0,
    d: Word = 0,
    e: Word = 0,
    f: Word = 0,
    *,
    path: str | None = None,
) -> int:
    """Make system call `number` and return its result.

    An int travels as a C long; bytes and buffers by their address (bytes end in a NUL); None is the
    null pointer.

    Raises:
        OSError: with the errno of the call; `path` becomes its filename.
    """
    result: int = _libc.syscall(number, a, b, c, d, e, f)
    if result == -1:
        raise _failure(name, path)
    return result


def syscall_holding(name: str, number: int, a: Word = 0, b: Word = 0) -> int:
    """As `syscall`, without letting go of the interpreter's lock: a child of the call still holds it.

    Raises:
        OSError: with the errno of the call.
    """
    result: int = _holding.syscall(number, a, b, 0, 0, 0, 0)
    if result == -1:
        raise _failure(name, None)
    return result


def path_bytes(path: str) -> bytes:
    """`path` as the kernel takes it.

    Raises:
        OSError: EINVAL for a NUL inside, where C would silently end the path.
    """
    if not path:
        return b""
    raw = os.fsencode(path)
    if 0 in raw:
        raise OSError(22, "embedded null byte", path)
    return raw


def _failure(name: str, path: str | None) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{name}: {os.strerror(code)}", path)
