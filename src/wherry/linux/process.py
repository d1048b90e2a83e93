"""Processes: making them, holding them by pidfd, and what a process says about itself."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from wherry.linux.libc import NR, syscall, syscall_holding

CLONE_PIDFD = 0x1000
CLONE_CHILD_CLEARTID = 0x200000
CLONE_CHILD_SETTID = 0x1000000
CLONE_INTO_CGROUP = 0x200000000

CLOSE_RANGE_UNSHARE = 0x2
CLOSE_RANGE_CLOEXEC = 0x4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_TID_ADDRESS = 40
PR_CAP_AMBIENT = 47

SIGCHLD = 17

_CLONE_ARGS = struct.Struct("11Q")
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_NOEXEC_SEAL = 0x1, 0x2, 0x8
_F_ADD_SEALS, _ALL_SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write
_CLD_EXITED, _CLD_KILLED, _CLD_DUMPED, _CLD_STOPPED = 1, 2, 3, 5


def clone3(
    flags: int, *, want_pidfd: bool = True, cgroup_fd: int = -1, exit_signal: int = SIGCHLD
) -> tuple[int, int]:
    """Make a child process as fork does, at once in the new namespaces of `flags`.

    Returns (pid, pidfd) in the parent, with -1 for an unwanted pidfd, and (0, -1) in the child.
    With `cgroup_fd` the child is born in that cgroup (v2 only), which spares the wait of a move.

    Only for a process with a single thread: the child is a copy of this thread alone, and neither
    libc's nor Python's fork handlers run.

    Raises:
        OSError: EPERM, EAGAIN, ENOSPC at a limit of nesting, EINVAL for impossible flags.

    Spec: clone3(2).
    """
    pidfd = ctypes.c_int(-1)
    if want_pidfd:
        flags |= CLONE_PIDFD
    if cgroup_fd >= 0:
        flags |= CLONE_INTO_CGROUP
    thread_id = _thread_id_address()
    if thread_id:
        flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID
    args = _CLONE_ARGS.pack(
        flags,
        ctypes.addressof(pidfd) if want_pidfd else 0,
        thread_id,
        0,
        exit_signal,
        *(0, 0, 0, 0, 0),
        max(cgroup_fd, 0),
    )
    pid = syscall_holding("clone3", NR["clone3"], args, len(args))
    return (pid, pidfd.value) if pid else (0, -1)


def _thread_id_address() -> int:
    # Where libc keeps this thread's id.  Without the new value the child would raise signals at the
    # id of its parent.  Unknown (0) on kernels without CONFIG_CHECKPOINT_RESTORE.
    address = ctypes.c_ulong(0)
    try:
        prctl(PR_GET_TID_ADDRESS, ctypes.addressof(address))
    except OSError:
        return 0
    return address.value


def pidfd_open(pid: int) -> int:
    """A descriptor of process `pid`, the caller's.  Safe from reuse only for a child not yet reaped.

    Raises:
        OSError: ESRCH.
    """
    return os.pidfd_open(pid)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Send `signal` to the process of `pidfd`, and to no other that may have its number by now.

    Raises:
        OSError: ESRCH once it has been reaped, EPERM.
    """
    syscall("pidfd_send_signal", NR["pidfd_send_signal"], pidfd, signal, None, 0)


def wait_pidfd(pidfd: int, options: int = 0) -> tuple[int, int] | None:
    """Wait for the child of `pidfd`: (pid, status word as of waitpid), or None under WNOHANG.

    Reaps it unless `options` has WNOWAIT.  Blocks without WNOHANG.

    Raises:
        OSError: ECHILD for a process that is no child of ours.

    Spec: waitid(2), P_PIDFD.
    """
    result = os.waitid(os.P_PIDFD, pidfd, options | os.WEXITED)
    if result is None:
        return None
    value = result.si_status
    if result.si_code == _CLD_EXITED:
        return result.si_pid, (value & 0xFF) << 8
    if result.si_code == _CLD_KILLED:
        return result.si_pid, value
    if result.si_code == _CLD_DUMPED:
        return result.si_pid, value | 0x80
    return result.si_pid, (value << 8) | 0x7F if result.si_code == _CLD_STOPPED else 0xFFFF


def close_range(first: int, last: int, flags: int = 0) -> None:
    """Close all descriptors from `first` to `last`, or mark them with CLOSE_RANGE_CLOEXEC.

    Raises:
        OSError: EINVAL.

    Spec: close_range(2).
    """
    syscall("close_range", NR["close_range"], first, last, flags)


def prctl(option: int, *args: int) -> int:
    """Make prctl(2) with up to four arguments; the rest are zero.

    Raises:
        OSError: EINVAL for an option the kernel does not know.
    """
    words = (*args, 0, 0, 0, 0)[:4]
    return syscall("prctl", NR["prctl"], option, *words)


def set_child_subreaper() -> None:
    """Become the parent of all orphans among our descendants."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def set_no_new_privs() -> None:
    """Let no later execve raise privileges; for good."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:
    """Let others of the same user inspect this process through /proc and ptrace, or not."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def set_parent_death_signal(signal: int) -> None:
    """Get `signal` when the parent dies; cleared by a change of credentials and by setuid programs."""
    prctl(PR_SET_PDEATHSIG, signal)


def set_keep_caps(keep: bool = True) -> None:
    """Keep the permitted capabilities over a change from user 0 to another; execve clears this."""
    prctl(PR_SET_KEEPCAPS, int(keep))


def memfd(name: str, data: bytes, *, seal: bool = True) -> int:
    """A file in memory that holds `data`, read from its start; sealed, nobody can change it again.

    The caller owns the descriptor, which is close-on-exec.

    Raises:
        OSError: ENOMEM, EMFILE.

    Spec: memfd_create(2).
    """
    flags = _MFD_CLOEXEC | _MFD_ALLOW_SEALING
    try:
        # A document is never a program; sysctl vm.memfd_noexec=2 refuses files that could be one.
        fd = os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create(name, flags)  # before Linux 6.3
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
        if seal:
            fcntl.fcntl(fd, _F_ADD_SEALS, _ALL_SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def process_start_time(pid: int) -> int:
    """When process `pid` started, in clock ticks since boot: with the pid it names one process.

    Raises:
        OSError: ENOENT or ESRCH for no such process.
    """
    return int(_stat(pid)[19])


def is_alive(pid: int, start_time: int) -> bool:
    """Whether the process that started at `start_time` runs still; a zombie does not."""
    try:
        fields = _stat(pid)
    except OSError:
        return False
    return fields[0] not in ("Z", "X", "x") and int(fields[19]) == start_time


def children(pid: int) -> set[int]:
    """The processes whose parent is `pid`, zombies too; found by looking at all processes."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                parent = int(_stat(int(name))[1])
            except OSError:
                continue  # it has ended meanwhile
            if parent == pid:
                found.add(int(name))
    return found


def _stat(pid: int) -> list[str]:
    # From field 3, the state, on: the name before it may hold blanks and parentheses.
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, 4096).decode("utf-8", "replace")
    finally:
        os.close(fd)
    return text[text.rindex(")") + 2 :].split(" ")
