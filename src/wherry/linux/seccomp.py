"""seccomp(2): install a filter program for this thread and its children."""

from __future__ import annotations

import ctypes
import errno
import struct

from wherry.linux.libc import NR, syscall

FLAG_TSYNC = 0x1
FLAG_LOG = 0x2
FLAG_SPEC_ALLOW = 0x4
FLAG_NEW_LISTENER = 0x8
FLAG_TSYNC_ESRCH = 0x10
FLAG_WAIT_KILLABLE_RECV = 0x20

ACTION = 0xFFFF0000  # the part of an answer that says what to do; the rest is its data
RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000

INSTRUCTION = struct.Struct("HBBI")  # struct sock_filter: code, jump if true, jump if false, operand
MAXIMUM_LENGTH = 4096

_SET_MODE_FILTER = 1


def install(program: bytes, *, flags: int = 0) -> int:
    """Install `program`, an array of struct sock_filter; it binds until this thread ends.

    Returns 0, or with FLAG_NEW_LISTENER the listener's descriptor, which is the caller's.

    Raises:
        OSError: EACCES without no_new_privs or CAP_SYS_ADMIN, EINVAL for a program that is none.

    Spec: seccomp(2), SECCOMP_SET_MODE_FILTER.
    """
    length, rest = divmod(len(program), INSTRUCTION.size)
    if rest or not 0 < length <= MAXIMUM_LENGTH:
        raise OSError(errno.EINVAL, f"seccomp: a program of {len(program)} bytes")
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxQ", length, ctypes.addressof(code))
    return syscall("seccomp", NR["seccomp"], _SET_MODE_FILTER, flags, filter_program)
