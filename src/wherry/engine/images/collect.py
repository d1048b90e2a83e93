"""Garbage collection on the engine's behalf: what containers stand on stays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wherry.core.leases import Resource
from wherry.diagnostics.logs import log
from wherry.errors import WherryError

if TYPE_CHECKING:
    from wherry.engine.engine import Engine

INTERVAL_S = 3600.0


def container_roots(engine: Engine) -> Iterable[Resource]:
    """The snapshots of all containers, and through them their images' layers."""
    return [Resource("snapshot", container.id) for container in engine.containers]


async def collect_garbage(engine: Engine, *, grace_s: float | None = 0.0) -> None:
    """Remove what nothing refers to; with no grace also what has only just become garbage.

    A failure is logged: the image is gone already, and the next collection tries again.
    """
    async with engine.collecting:
        try:
            await engine.threads.disk(lambda: engine.collector.collect(grace_s=grace_s))
        except (WherryError, OSError) as error:
            log("error", "garbage collection failed", error=error)


async def collect_now_and_then(engine: Engine) -> None:
    """Collect once in a while, for as long as the engine is open."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        await collect_garbage(engine, grace_s=None)
