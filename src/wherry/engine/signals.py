"""Signals by Docker's names: `SIGTERM`, `TERM`, `15`, `RTMIN+3`."""

from __future__ import annotations

import signal

from wherry.errors import InvalidArgument

_RTMIN, _RTMAX = int(signal.SIGRTMIN), int(signal.SIGRTMAX)
_NAMES: dict[str, int] = {
    name.removeprefix("SIG"): int(value)
    for name, value in signal.Signals.__members__.items()
    if not name.startswith(("SIGRT", "SIG_"))
}
_NAMES |= {"IOT": 6, "CLD": 17, "POLL": 29, "STKFLT": 16, "UNUSED": 31}
_NAMES |= {"RTMIN": _RTMIN, "RTMAX": _RTMAX}
_NAMES |= {f"RTMIN+{n}": _RTMIN + n for n in range(1, 16)}
_NAMES |= {f"RTMAX-{n}": _RTMAX - n for n in range(1, 15)}
_LAST = 64
_DEFAULT_STOP_SIGNAL = signal.SIGTERM


def parse_signal(text: str) -> int:
    """The number of a signal given by name or number.

    Raises:
        InvalidArgument: no such signal, or 0, which asks for nothing.
    """
    if text.isascii() and text.lstrip("-").isdigit() and text.count("-") <= 1:
        number = int(text)
        if number == 0:
            raise InvalidArgument(f"invalid signal: {text}")
        if not 0 < number <= _LAST:
            raise InvalidArgument(f"the linux daemon does not support signal {number}")
        return number
    number = _NAMES.get(text.upper().removeprefix("SIG"), 0)
    if number == 0:
        raise InvalidArgument(f"invalid signal: {text}")
    return number


def stop_signal(text: str) -> int:
    """The signal that `StopSignal` of a configuration means; an unreadable one is SIGTERM."""
    try:
        return parse_signal(text) if text else int(_DEFAULT_STOP_SIGNAL)
    except InvalidArgument:
        return int(_DEFAULT_STOP_SIGNAL)
