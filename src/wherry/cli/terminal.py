"""The terminal on our side: raw mode and size.

Raw mode is what cfmakeraw(3) makes of it, and is undone when the block ends, however it ends: by
return, by failure, or by one of the signals that would otherwise kill the program.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import termios

from wherry.cli.failures import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

_FATAL = (_signal.SIGHUP, _signal.SIGTERM, _signal.SIGQUIT, _signal.SIGINT)
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6


def is_terminal(descriptor: int) -> bool:
    """Whether `descriptor` is open on a terminal."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def window_size(descriptor: int) -> tuple[int, int] | None:
    """Rows and columns, None where there is no terminal or it does not say."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return (size.lines, size.columns) if size.lines or size.columns else None


class RawTerminal:
    """A block in which the terminal on `descriptor` is raw; nothing happens without one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved: list[Any] | None = None
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> RawTerminal:
        if is_terminal(self._descriptor):
            self._saved = termios.tcgetattr(self._descriptor)
            for number in _FATAL:
                # Signals that are proxied to the container have their handler already.
                if _signal.getsignal(number) in (_signal.SIG_DFL, _signal.default_int_handler):
                    self._handlers[number] = _signal.signal(number, _end)
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, raw_mode(self._saved))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the terminal its former mode back; once is enough."""
        saved, self._saved = self._saved, None
        if saved is not None:
            try:
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, saved)
            except termios.error:
                pass  # it has hung up
        for number, handler in self._handlers.items():
            _signal.signal(number, handler)
        self._handlers = {}


def _end(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)


def raw_mode(attributes: list[Any]) -> list[Any]:
    """Terminal attributes as cfmakeraw(3) changes them."""
    t = termios
    raw = list(attributes)
    flags = [int(value) for value in attributes[:4]]
    flags[_IFLAG] &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    flags[_OFLAG] &= ~t.OPOST
    flags[_CFLAG] = flags[_CFLAG] & ~(t.CSIZE | t.PARENB) | t.CS8
    flags[_LFLAG] &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    raw[:4] = flags
    control = list(attributes[_CC])
    control[t.VMIN], control[t.VTIME] = 1, 0
    raw[_CC] = control
    return raw
