"""The listing of the init program.

Blocks all signals and takes them one by one with rt_sigtimedwait, so no handler and no race is needed.  The
child gets a process group of its own, and the terminal, if there is one; what the terminal's keys raise
goes to the command, not to us.
"""

from __future__ import annotations

from wherry.runtime.reaper.machine import A0, A1, A2, A3, A4, S0, S1, S2, S3, S4, S5, SP, Assembler, R, T, U

_ENOENT, _EACCES, _ENOTDIR = 2, 13, 20
_SIGCHLD, _SIG_SETMASK, _WNOHANG, _TIOCSPGRP = 17, 2, 1, 0x5410
# A fault in this program must end it: SIGILL TRAP ABRT BUS FPE SEGV SYS stay as they are.
_FAULTS = (4, 5, 6, 7, 8, 11, 31)
_ALL_BUT_FAULTS = (1 << 64) - 1 & ~sum(1 << number - 1 for number in _FAULTS)

# On the stack: the blocked signals, the mask to restore, a status or process group, a path being tried.
_MASK, _OLD_MASK, _WORD, _PATH = 0, 8, 16, 32
_PATH_SIZE = 4096
_FRAME = _PATH + _PATH_SIZE + 32


def write_program(to: Assembler) -> None:
    """The whole program."""
    _find_command(to)
    _start_child(to)
    _wait_for_signals(to)
    _reap(to)
    _become_command(to)
    _search_path(to)
    _fail(to)
    to.text("default_path", b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    to.text("prefix", b"docker-init: exec ")
    to.text("not_found", b": No such file or directory\n")
    to.text("denied", b": Permission denied\n")
    to.text("other", b": cannot be executed\n")
    to.text("usage_text", b"Usage: docker-init [--] COMMAND [ARGUMENT]...\n")


def _find_command(to: Assembler) -> None:
    """S0 = the arguments of the command, S1 = the environment, S5 = the command's name."""
    to.load(S1, SP)  # the number of arguments
    to.shift_left(S1, 3)
    to.add_register(S1, SP)
    to.add(S1, 16)  # behind the null that ends them
    to.copy(S0, SP)
    to.add(S0, 16)  # behind our own name
    to.load(S5, S0)
    to.go_if(S5, "==", 0, "usage")
    for place, character in enumerate(b"--\0"):
        to.load_byte(T, S5, place)
        to.go_if(T, "!=", character, "found")
    to.add(S0, 8)
    to.load(S5, S0)
    to.go_if(S5, "==", 0, "usage")
    to.label("found")
    to.add(SP, -_FRAME)


def _start_child(to: Assembler) -> None:
    """S2 = the child."""
    to.set(T, _ALL_BUT_FAULTS)
    to.store(T, SP, _MASK)
    _set_mask(to, _MASK, _OLD_MASK)
    to.set(A0, _SIGCHLD)
    for register in (A1, A2, A3, A4):
        to.set(register, 0)
    to.system("clone")
    to.go_if(R, "==", 0, "child")
    to.copy(S2, R)
    to.set(S3, 0)  # whether the child has ended
    to.go_if(R, "<", 0, "end_126")


def _wait_for_signals(to: Assembler) -> None:
    to.label("wait")
    to.copy(A0, SP)  # the mask is what lies on top
    to.set(A1, 0)
    to.set(A2, 0)
    to.set(A3, 8)
    to.system("rt_sigtimedwait")
    to.go_if(R, "==", _SIGCHLD, "reap")
    to.go_if(R, "<=", 0, "wait")
    to.copy(A0, S2)
    to.copy(A1, R)
    to.system("kill")
    to.go("wait")


def _reap(to: Assembler) -> None:
    """Reap all that have ended: signals do not count, so one SIGCHLD may stand for many."""
    to.label("reap")
    to.set(T, 0)
    to.store(T, SP, _WORD)
    to.set(A0, -1)
    to.copy(A1, SP)
    to.add(A1, _WORD)
    to.set(A2, _WNOHANG)
    to.set(A3, 0)
    to.system("wait4")
    to.go_if(R, "<=", 0, "reaped")
    to.go_if_same(R, S2, "child_ended")
    to.go("reap")
    to.label("child_ended")
    to.load(S4, SP, _WORD)
    to.set(S3, 1)
    to.go("reap")
    to.label("reaped")
    to.go_if(S3, "==", 0, "wait")
    to.copy(A0, S4)
    to.keep_low(A0, 7)  # the signal
    to.go_if(A0, "==", 0, "exited")
    to.add(A0, 128)
    to.system("exit_group")
    to.label("exited")
    to.copy(A0, S4)
    to.shift_right(A0, 8)
    to.keep_low(A0, 8)
    to.system("exit_group")


def _become_command(to: Assembler) -> None:
    to.label("child")
    to.set(A0, 0)
    to.set(A1, 0)
    to.system("setpgid")
    to.system("getpid")
    to.store(R, SP, _WORD)
    to.set(A0, 0)
    to.set(A1, _TIOCSPGRP)  # SIGTTOU, which this raises in the background, is still blocked
    to.copy(A2, SP)
    to.add(A2, _WORD)
    to.system("ioctl")
    _set_mask(to, _OLD_MASK, None)
    to.set(S2, _ENOENT)  # the failure to report, unless another is found
    to.copy(S3, S5)
    to.label("slash")
    to.load_byte(T, S3)
    to.go_if(T, "==", 0, "search")
    to.add(S3, 1)
    to.go_if(T, "!=", ord("/"), "slash")
    to.copy(A0, S5)
    to.copy(A1, S0)
    to.copy(A2, S1)
    to.system("execve")
    to.negate(R)
    to.copy(S2, R)
    to.go("fail")


def _search_path(to: Assembler) -> None:
    """Try the command in each directory of PATH, as execvp does."""
    to.label("search")
    to.copy(S3, S1)
    to.label("variable")
    to.load(S4, S3)
    to.add(S3, 8)
    to.go_if(S4, "==", 0, "no_variable")
    for place, character in enumerate(b"PATH="):
        to.load_byte(T, S4, place)
        to.go_if(T, "!=", character, "variable")
    to.add(S4, len(b"PATH="))
    to.go("directory")
    to.label("no_variable")
    to.address(S4, "default_path")
    _build_candidate(to)
    _try_candidate(to)


def _build_candidate(to: Assembler) -> None:
    """The path of the command S5 in the directory whose name begins at S4."""
    to.label("directory")
    to.copy(S3, SP)
    to.add(S3, _PATH)
    to.set(U, _PATH_SIZE - 2)  # room that is left
    to.load_byte(T, S4)
    to.go_if(T, "==", 0, "here")
    to.go_if(T, "!=", ord(":"), "directory_byte")
    to.label("here")  # an empty name is the working directory
    to.set(T, ord("."))
    _put_byte(to)
    to.label("directory_byte")
    to.load_byte(T, S4)
    to.go_if(T, "==", 0, "directory_copied")
    to.go_if(T, "==", ord(":"), "directory_copied")
    _put_byte(to)
    to.add(S4, 1)
    to.go("directory_byte")
    to.label("directory_copied")
    to.set(T, ord("/"))
    _put_byte(to)
    to.copy(A0, S5)
    to.label("name_byte")
    to.load_byte(T, A0)
    to.add(A0, 1)
    _put_byte(to)
    to.go_if(T, "!=", 0, "name_byte")


def _try_candidate(to: Assembler) -> None:
    to.copy(A0, SP)
    to.add(A0, _PATH)
    to.copy(A1, S0)
    to.copy(A2, S1)
    to.system("execve")
    to.negate(R)
    to.go_if(R, "==", _ENOENT, "next")
    to.go_if(R, "==", _ENOTDIR, "next")
    to.copy(S2, R)
    to.go_if(R, "!=", _EACCES, "fail")
    to.label("next")
    to.load_byte(T, S4)
    to.go_if(T, "==", 0, "fail")
    to.add(S4, 1)
    to.go("directory")
    to.label("too_long")  # skip to the end of this directory's name
    to.load_byte(T, S4)
    to.go_if(T, "==", 0, "fail")
    to.add(S4, 1)
    to.go_if(T, "==", ord(":"), "directory")
    to.go("too_long")


def _fail(to: Assembler) -> None:
    """Say that S5 cannot be executed, for the reason S2."""
    to.label("fail")
    _write(to, "prefix")
    to.copy(A1, S5)
    _write_text(to, "command")
    to.go_if(S2, "==", _ENOENT, "say_not_found")
    to.go_if(S2, "==", _ENOTDIR, "say_not_found")
    to.go_if(S2, "==", _EACCES, "say_denied")
    _write(to, "other")
    to.go("end_126")
    to.label("say_denied")
    _write(to, "denied")
    to.label("end_126")
    to.set(A0, 126)
    to.system("exit_group")
    to.label("say_not_found")
    _write(to, "not_found")
    to.set(A0, 127)
    to.system("exit_group")
    to.label("usage")
    _write(to, "usage_text")
    to.set(A0, 1)
    to.system("exit_group")


def _set_mask(to: Assembler, new: int, old: int | None) -> None:
    to.set(A0, _SIG_SETMASK)
    to.copy(A1, SP)
    to.add(A1, new)
    to.set(A2, 0)
    if old is not None:
        to.copy(A2, SP)
        to.add(A2, old)
    to.set(A3, 8)
    to.system("rt_sigprocmask")


def _put_byte(to: Assembler) -> None:
    """Append T to the path being built, where there is room."""
    to.go_if(U, "==", 0, "too_long")
    to.add(U, -1)
    to.store_byte(T, S3)
    to.add(S3, 1)


def _write(to: Assembler, text: str) -> None:
    to.address(A1, text)
    _write_text(to, text)


def _write_text(to: Assembler, name: str) -> None:
    """Write the text at A1, up to its NUL, to stderr."""
    to.set(A2, 0)
    to.copy(T, A1)
    to.label(f"measure_{name}")
    to.load_byte(U, T)
    to.add(T, 1)
    to.add(A2, 1)
    to.go_if(U, "!=", 0, f"measure_{name}")
    to.add(A2, -1)
    to.set(A0, 2)
    to.system("write")
