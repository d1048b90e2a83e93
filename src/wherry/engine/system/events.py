"""Following what happens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from wherry.engine.events import below_1_52, since_1_46
from wherry.engine.times import parse_timestamp

if TYPE_CHECKING:
    from wherry.api.filters import Filters
    from wherry.engine.engine import Engine


def subscribe_events(
    engine: Engine,
    *,
    since: str | None = None,
    until: str | None = None,
    filters: Filters | None = None,
    version: tuple[int, int] = (1, 56),
) -> AsyncIterator[dict[str, Any]]:
    """Events from `since`, or from now, until `until` or for ever, shaped for `version`.

    The subscription begins with this call.

    Raises:
        InvalidArgument: an unknown filter, or times that are none or in the wrong order.
    """
    now_ns = time.time_ns()
    events = engine.events.subscribe(
        since_ns=parse_timestamp(since, now_ns=now_ns) if since else None,
        until_ns=parse_timestamp(until, now_ns=now_ns) if until and until != "0" else None,
        filters=filters or {},
    )
    return _shaped(events, version)


async def _shaped(
    events: AsyncIterator[dict[str, Any]], version: tuple[int, int]
) -> AsyncIterator[dict[str, Any]]:
    async for event in events:
        if version < (1, 46) and since_1_46(event):
            continue
        yield below_1_52(event) if version < (1, 52) else event
