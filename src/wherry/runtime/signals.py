"""Signals: by name and number, and as a new program expects to find them."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the enums of `signal`
import os

from wherry.errors import InvalidArgument
from wherry.linux.libc import syscall

_NAMES = (
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
    "WINCH", "IO", "PWR", "SYS",
)  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(_NAMES, 1)} | {"CLD": 17, "POLL": 29, "IOT": 6}
_RTMIN, _RTMAX = 34, 64
_LIBRARYS = (32, 33)  # the C library keeps these to itself and refuses to speak of them
_RT_SIGACTION = {"x86_64": 13, "aarch64": 134}
_DEFAULT = bytes(32)  # the kernel's struct sigaction with SIG_DFL


def parse_signal(text: str) -> int:
    """The number of a signal given as `SIGTERM`, `term`, `15`, `RTMIN+1` or `RTMAX-1`.

    Raises:
        InvalidArgument: no such signal.
    """
    if text.isascii() and text.isdigit():
        number = int(text)
        if 0 < number <= _RTMAX:
            return number
    word = text.upper().removeprefix("SIG")
    if word in _NUMBERS:
        return _NUMBERS[word]
    for base, sign, start in (("RTMIN", "+", _RTMIN), ("RTMAX", "-", _RTMAX)):
        head, separator, offset = word.partition(sign)
        if head == base and (not separator or (offset.isascii() and offset.isdigit())):
            number = start + (int(offset or 0) if sign == "+" else -int(offset or 0))
            if _RTMIN <= number <= _RTMAX:
                return number
    raise InvalidArgument(f"unknown signal {text!r}")


def reset_signals() -> None:
    """Give back to every signal its default: Python ignores some, and the caller may have, too."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    for number in _signal.valid_signals():
        if number not in (_signal.SIGKILL, _signal.SIGSTOP) and _signal.getsignal(number) != _signal.SIG_DFL:
            _signal.signal(number, _signal.SIG_DFL)
    for number in _LIBRARYS:
        syscall("rt_sigaction", _RT_SIGACTION[os.uname().machine], number, _DEFAULT, 0, 8)
