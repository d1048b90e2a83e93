"""A transfer's progress as a stream of the API's records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from wherry.api import progress
from wherry.core.transfer import Progress

Record = dict[str, Any]
Work = Callable[[Progress, Callable[[Record], None]], Awaitable[None]]


async def progress_of(work: Work) -> AsyncIterator[Record]:
    """The records of `work` while it runs.

    `work` gets the callback for a transfer's progress and one for records of its own.  A
    failure is raised from the iteration after the records before it; closing the iteration
    cancels the work.
    """
    queue: asyncio.Queue[Record | None] = asyncio.Queue()

    def tell(id_: str, status: str, current: int | None, total: int | None) -> None:
        queue.put_nowait(progress.status(status, id=id_, current=current, total=total))

    async def run() -> None:
        try:
            await work(tell, queue.put_nowait)
        finally:
            queue.put_nowait(None)

    running = asyncio.create_task(run())
    try:
        while (record := await queue.get()) is not None:
            yield record
        await running
    finally:
        if not running.done():
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
