"""Staying with a process in the foreground: its signals, its terminal, its exit code."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the enums of `signal`
import os
import select

from wherry.linux import tty
from wherry.linux.process import pidfd_send_signal, wait_pidfd

# What is ours, or comes about through us; all others are for the process.
_NOT_FORWARDED = frozenset(
    (
        _signal.SIGKILL, _signal.SIGSTOP, _signal.SIGCHLD, _signal.SIGURG, _signal.SIGWINCH, _signal.SIGPIPE,
        _signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGTTIN, _signal.SIGTTOU,
    )
)  # fmt: skip
_CHUNK = 64 * 1024


def attend(pidfd: int, console_fd: int) -> int:
    """Copy between our terminal and the process's, if it has one, until it ends; its exit code."""
    mode = _take_own_terminal(console_fd) if console_fd >= 0 else None
    try:
        _pump(pidfd, console_fd)
    finally:
        if mode is not None:
            tty.set_mode(0, mode)
    result = wait_pidfd(pidfd)
    code = os.waitstatus_to_exitcode(result[1]) if result else 0
    return 128 - code if code < 0 else code


def forward_signals(pidfd: int) -> None:
    """From now on pass on what is sent to us; before the process starts, so that nothing is missed."""

    def forward(number: int, _: object) -> None:
        try:
            pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass

    for number in _signal.valid_signals():
        if number not in _NOT_FORWARDED:
            _signal.signal(number, forward)


def _take_own_terminal(console_fd: int) -> bytes | None:
    """Make our terminal raw and give its size to the container's; the mode to restore, if any."""

    def resize(*_: object) -> None:
        try:
            tty.set_window_size(console_fd, *tty.window_size(0))
        except OSError:
            pass

    if not os.isatty(0):
        return None
    resize()
    _signal.signal(_signal.SIGWINCH, resize)
    mode = tty.get_mode(0)
    tty.set_mode(0, tty.raw_mode(mode))
    return mode


def _pump(pidfd: int, console_fd: int) -> None:
    """Copy between our standard streams and the terminal until the process has ended and all is read."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if console_fd >= 0:
        poll.register(0, select.POLLIN)
        poll.register(console_fd, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if console_fd in ready:
            output = _read(console_fd)
            _write_all(1, output)
            if not output:  # EIO: the last slave is closed
                poll.unregister(console_fd)
                console_fd = -1
        elif pidfd in ready:
            return
        if 0 in ready:
            given = _read(0)
            if given:
                _write_all(console_fd, given)
            else:
                poll.unregister(0)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except OSError:
        return b""


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        pass  # the reader is gone; the process decides what that means to it
