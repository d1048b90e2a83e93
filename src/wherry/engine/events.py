"""Events as Docker sends them, with the newest 256 kept for `since`.

A record is `{Type, Action, Actor: {ID, Attributes}, scope, time, timeNano}`.  Sending one
never waits: a subscriber that reads too slowly is cut off rather than fed a gap.

Spec: Docker Engine API, SystemEvents; moby's daemon/events.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from wherry.errors import InvalidArgument

KEPT = 256
BACKLOG_LIMIT = 4096
FILTERS = frozenset({
    "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin",
    "scope", "secret", "service", "type", "volume",
})  # fmt: skip
_PREFIXED_ACTIONS = ("health_status", "exec_create", "exec_start")

Event = dict[str, Any]
Filters = Mapping[str, Collection[str]]


class Events:
    """The engine's stream of events."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._subscribers: set[asyncio.Queue[Event | None]] = set()
        self._last_ns = 0

    @property
    def listeners(self) -> int:
        """How many subscribers there are."""
        return len(self._subscribers)

    def emit(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str]) -> Event:
        """Send one event and return it.  Times rise strictly, so that `since` never repeats one."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        event: Event = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": actor_id, "Attributes": dict(attributes)},
            "scope": "local",
            "time": self._last_ns // 1_000_000_000,
            "timeNano": self._last_ns,
        }
        self._kept.append(event)
        for queue in list(self._subscribers):
            if queue.qsize() >= BACKLOG_LIMIT:
                self._subscribers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)
        return event

    def past(self, *, since_ns: int, until_ns: int | None, filters: Filters) -> list[Event]:
        """The kept events from `since_ns` on, up to `until_ns`."""
        return [
            event
            for event in self._kept
            if event["timeNano"] >= since_ns
            and (until_ns is None or event["timeNano"] <= until_ns)
            and matches(event, filters)
        ]

    def subscribe(
        self, *, since_ns: int | None = None, until_ns: int | None = None, filters: Filters | None = None
    ) -> AsyncIterator[Event]:
        """Kept events from `since_ns`, then new ones until `until_ns` or for ever.

        The subscription begins with this call, not with the first read.

        Raises:
            InvalidArgument: an unknown filter, or `since` after `until`.
        """
        filters = filters or {}
        for name in filters:
            if name not in FILTERS:
                raise InvalidArgument(f"invalid filter '{name}'")
        if since_ns is not None and until_ns is not None and since_ns > until_ns:
            since, until = since_ns // 1_000_000_000, until_ns // 1_000_000_000
            raise InvalidArgument(f"`since` time ({since}) cannot be after `until` time ({until})")
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        past = [] if since_ns is None else self.past(since_ns=since_ns, until_ns=until_ns, filters=filters)
        self._subscribers.add(queue)
        return self._follow(queue, past, until_ns, filters)

    async def _follow(
        self, queue: asyncio.Queue[Event | None], past: list[Event], until_ns: int | None, filters: Filters
    ) -> AsyncIterator[Event]:
        try:
            for event in past:
                yield event
            while True:
                left_s = None if until_ns is None else (until_ns - time.time_ns()) / 1e9
                if left_s is not None and left_s <= 0 and queue.empty():
                    return
                try:
                    next_event = await asyncio.wait_for(queue.get(), left_s)
                except TimeoutError:
                    return
                if next_event is None or (until_ns is not None and next_event["timeNano"] > until_ns):
                    return
                if matches(next_event, filters):
                    yield next_event
        finally:
            self._subscribers.discard(queue)


def matches(event: Event, filters: Filters) -> bool:
    """Whether every filter has a value that `event` fits."""
    actor_id: str = event["Actor"]["ID"]
    attributes: dict[str, str] = event["Actor"]["Attributes"]
    name = attributes.get("name", "")
    for key, values in filters.items():
        if not values:
            continue
        if key == "event":
            fits = _action_fits(event["Action"], values)
        elif key in {"type", "scope"}:
            fits = bool(event["Type" if key == "type" else "scope"] in values)
        elif key == "label":
            fits = all(_label_fits(attributes, value) for value in values)
        elif key == "image":
            fits = _image_fits(event, values)
        else:
            fits = any(actor_id.startswith(value) or name.startswith(value) for value in values)
        if not fits:
            return False
    return True


def since_1_46(event: Event) -> bool:
    """Whether clients below 1.46 do not know such an event."""
    return bool(event["Type"] == "image" and event["Action"] == "create")


def below_1_52(event: Event) -> Event:
    """`event` with the members that clients below 1.52 read as well."""
    if event["Type"] not in {"container", "image"}:
        return event
    old = {"status": event["Action"], "id": event["Actor"]["ID"]}
    if event["Type"] == "container":
        old["from"] = event["Actor"]["Attributes"].get("image", "")
    return old | event


def _action_fits(action: str, values: Collection[str]) -> bool:
    if any(value in _PREFIXED_ACTIONS for value in values):
        return any(action.startswith(value) for value in values)
    return action in values


def _label_fits(attributes: Mapping[str, str], value: str) -> bool:
    key, equals, wanted = value.partition("=")
    return key in attributes and (not equals or attributes[key] == wanted)


def _image_fits(event: Event, values: Collection[str]) -> bool:
    attributes = event["Actor"]["Attributes"]
    names: set[str] = {event["Actor"]["ID"], attributes.get("name", "")}
    if event["Type"] == "container":
        names = {attributes.get("image", "")}
    names |= {_without_tag(name) for name in names}
    return any(value in names for value in values)


def _without_tag(name: str) -> str:
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name
