"""Signals by number, and their way to the container.

The standard `signal` module is not used: it loads `enum`.  Handlers make their calls to the daemon
on connections of their own, so they may run in the middle of another call.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

from wherry.cli.failures import CommandFailed
from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from wherry.client.api import Client

SIGWINCH = 28
_NAMES = {
    1: "HUP", 2: "INT", 3: "QUIT", 6: "ABRT", 10: "USR1", 12: "USR2", 14: "ALRM", 15: "TERM",
    16: "STKFLT", 18: "CONT", 20: "TSTP", 21: "TTIN", 22: "TTOU", 24: "XCPU", 25: "XFSZ", 26: "VTALRM",
    27: "PROF", 28: "WINCH", 29: "IO", 30: "PWR",
}  # fmt: skip
_RTMIN, _RTMAX = 34, 64
# The window's size has its own call; reading or writing as a background job is stopped, not told.
_OURS = (SIGWINCH, 21, 22)
_ENDINGS = (2, 15)
PATIENCE = 3


def signal_name(number: int) -> str:
    """`SIGTERM`; real-time signals count from SIGRTMIN."""
    if number in _NAMES:
        return "SIG" + _NAMES[number]
    return "SIGRTMIN" if number == _RTMIN else f"SIGRTMIN+{number - _RTMIN}"


class Handlers:
    """Signal handlers for the length of a block; the former ones return at its end."""

    def __init__(self) -> None:
        self._former: dict[int, object] = {}

    def __enter__(self) -> Handlers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            _signal.signal(number, handler)

    def proxy(self, client: Client, container_id: str) -> None:
        """Send every signal we can catch to the container instead."""
        forward = _forwarder(client, container_id)
        for number in (*_NAMES, *range(_RTMIN, _RTMAX + 1)):
            if number not in _OURS:
                self._install(number, forward)

    def on_resize(self, action: Callable[[], None]) -> None:
        """Call `action` when the terminal changes its size."""
        self._install(SIGWINCH, lambda _number, _frame: action())

    def _install(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        former = _signal.signal(number, handler)
        self._former.setdefault(number, _signal.SIG_DFL if former is None else former)


def _forwarder(client: Client, container_id: str) -> Callable[[int, FrameType | None], None]:
    endings = 0

    def forward(number: int, _frame: FrameType | None) -> None:
        nonlocal endings
        endings += number in _ENDINGS
        if endings > PATIENCE:  # the container does not listen, and the user insists
            raise CommandFailed(f"got {PATIENCE} SIGTERM/SIGINTs, forcefully exiting")
        other = client.fork()
        try:
            query = [("signal", signal_name(number))]
            other.send("POST", f"/containers/{container_id}/kill", query=query)
        except (WherryError, OSError):
            pass  # it is gone, or not running yet: as Docker, the signal is lost
        finally:
            other.close()

    return forward
