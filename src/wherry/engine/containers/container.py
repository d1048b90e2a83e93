"""A container while the engine runs: its record, its lock, its task and who waits for it.

The record is the truth and is what survives.  Everything else here is found again by
`restore`.  The record changes only through `Containers.save`, under the lock.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from wherry.core.tasks import AttachEnd, Task
    from wherry.engine.exec.record import Exec
    from wherry.engine.records import ContainerRecord

Condition = Literal["not-running", "next-exit", "removed"]


class ExitStatus(NamedTuple):
    """What a waiter is told."""

    code: int
    error: str = ""


class PendingAttachment(NamedTuple):
    """A client that attached before the start; `begun` gets the result of the task's attach."""

    stdin: bool
    stdout: bool
    stderr: bool
    detach_keys: bytes | None
    sock_fd: int
    leftover: bytes
    begun: asyncio.Future[asyncio.Future[AttachEnd]]


class Container:
    """One container.

    `removing` is set while a removal is under way, so that a second one is refused at once.
    `restart_delay_s` is the last back-off of the restart policy, 0 after a good run;
    `restarting_by_user` keeps auto-remove from a stop that belongs to a restart.
    """

    def __init__(self, record: ContainerRecord) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.task: Task | None = None
        self.execs: dict[str, Exec] = {}
        self.pending: list[PendingAttachment] = []
        self.removing = False
        self.restart_cancelled = False
        self.restarting_by_user = False
        self.restart_delay_s = 0.0
        self.restart_timer: asyncio.Task[None] | None = None
        self.exit_handled = asyncio.Event()
        self._stopped: list[asyncio.Future[ExitStatus]] = []
        self._removed: list[asyncio.Future[ExitStatus]] = []

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def status(self) -> str:
        """The state word of the API."""
        return (
            "removing" if self.removing and self.record.state.status != "dead" else self.record.state.status
        )

    @property
    def running(self) -> bool:
        """Whether Docker calls it running: its process exists, or its policy will start it again."""
        return self.record.running or self.record.state.status == "restarting"

    def waiter(self, condition: Condition) -> asyncio.Future[ExitStatus]:
        """A future for `condition`, registered now; it belongs to the caller."""
        future: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        if condition == "not-running" and not self.running:
            future.set_result(ExitStatus(self.record.state.exit_code))
        else:
            waiters = self._removed if condition == "removed" else self._stopped
            waiters.append(future)
            future.add_done_callback(partial(_forget, waiters))
        return future

    def notify_stopped(self) -> None:
        """Tell those who wait for an exit."""
        _resolve(self._stopped, ExitStatus(self.record.state.exit_code))

    def notify_removed(self, error: str = "") -> None:
        """Tell those who wait for the removal, and whoever still waits for an exit."""
        status = ExitStatus(self.record.state.exit_code, error)
        _resolve(self._removed, status)
        if not error:
            _resolve(self._stopped, status)

    def drop_pending(self) -> None:
        """Let clients go that attached to a start that will not come."""
        for pending in self.pending:
            pending.begun.cancel()
        self.pending.clear()


def _forget(waiters: list[asyncio.Future[ExitStatus]], waiter: asyncio.Future[ExitStatus]) -> None:
    """Drop a waiter whose client has gone; those that were told are dropped all at once."""
    if waiter in waiters:
        waiters.remove(waiter)


def _resolve(waiters: list[asyncio.Future[ExitStatus]], status: ExitStatus) -> None:
    told = list(waiters)
    waiters.clear()
    for waiter in told:
        if not waiter.done():
            waiter.set_result(status)
