"""The shim's one loop: it waits for descriptors and for times, and calls who asked.

A callback may close and reopen descriptors, so an event can reach the wrong owner of a number within one
round; every callback therefore works without blocking and takes "nothing there" as an answer.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[int], None]

READABLE = select.POLLIN
WRITABLE = select.POLLOUT
HUNG_UP = select.POLLHUP | select.POLLERR


class Loop:
    """Descriptors with the callbacks for their events, and callbacks for times to come."""

    __slots__ = ("_handlers", "_idle", "_idle_s", "_later", "_poll", "_times")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Handler] = {}
        self._times: list[tuple[float, Callable[[], None]]] = []
        self._later: list[Callable[[], None]] = []
        self._idle: Callable[[], None] | None = None
        self._idle_s = 0.0

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` with the events of `fd`; watching it again replaces what was asked before.

        HUNG_UP is reported in any case.  Forget a descriptor before it is closed.
        """
        self._handlers[fd] = handler
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Watch `fd` no more; not watching it is no error."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def call_after(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call `callback` once, `delay_s` from now."""
        self._times.append((time.monotonic() + delay_s, callback))
        self._times.sort(key=_when)

    def call_last(self, callback: Callable[[], None]) -> None:
        """Call `callback` at the end of this round, once however often it is asked for."""
        if callback not in self._later:
            self._later.append(callback)

    def call_idle(self, idle_s: float, callback: Callable[[], None]) -> None:
        """Call `callback` once, after the first `idle_s` in which nothing happens."""
        self._idle_s, self._idle = idle_s, callback

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Wait and call, as long as `goes_on` says so."""
        while goes_on():
            ready = self._poll.poll(self._timeout_ms())
            for fd, events in ready:
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(events)
            self._call_due(idle=not ready)

    def _call_due(self, *, idle: bool) -> None:
        now = time.monotonic() if self._times else 0.0
        if idle and self._idle is not None and not (self._times and self._times[0][0] <= now):
            callback, self._idle = self._idle, None
            callback()
        while self._times and self._times[0][0] <= now:
            self._times.pop(0)[1]()
        while self._later:
            self._later.pop(0)()

    def _timeout_ms(self) -> float | None:
        waits = [self._idle_s] if self._idle is not None else []
        if self._times:
            waits.append(max(0.0, self._times[0][0] - time.monotonic()))
        return min(waits) * 1000 if waits else None


def _when(entry: tuple[float, object]) -> float:
    return entry[0]
