"""Events: what changed, told after the commit that made it true.

Core's events carry containerd's topics (`/tasks/exit`, `/images/create`).  A subscriber that
falls behind loses its oldest events and is told how many; it never holds up the publisher.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

QUEUE_LIMIT = 4096


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an object of `tenant`."""

    topic: str
    tenant: str
    payload: dict[str, Any]
    time_ns: int = msgspec.field(default_factory=time.time_ns)


class EventBus:
    """One publisher's side; `publish` may be called from any thread."""

    def __init__(self) -> None:
        self._subscriptions: tuple[Subscription, ...] = ()

    def publish(self, event: Event) -> None:
        """Hand `event` to every subscription that wants it."""
        for subscription in self._subscriptions:
            subscription._offer(event)

    def subscribe(self, wants: Callable[[Event], bool] = lambda _event: True) -> Subscription:
        """Every event from now on for which `wants` is true; the caller closes it.

        Must be called on the loop on which the events are awaited.
        """
        subscription = Subscription(self, wants)
        self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def _forget(self, subscription: Subscription) -> None:
        self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)


class Subscription:
    """An asynchronous iterator of events, bounded; `dropped` counts what did not fit."""

    def __init__(self, bus: EventBus, wants: Callable[[Event], bool]) -> None:
        self._bus = bus
        self._wants = wants
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()

    def close(self) -> None:
        """Stop listening; the iteration ends after what already arrived."""
        self._bus._forget(self)
        self._closed = True
        self._arrived.set()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offer(self, event: Event) -> None:
        if self._wants(event) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, event)

    def _take(self, event: Event) -> None:
        if len(self._events) >= QUEUE_LIMIT:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._arrived.set()
