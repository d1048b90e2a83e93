"""Progress: what a transfer tells about itself, in Docker's words.

    progress(id, status, current, total)

It tells about content; the lines about a whole request (its digest, its status) are the front's.
`id` is the layer's first twelve digits, a tag, or empty.  The callback always runs on the event
loop, whichever thread has something to tell, and of bytes it hears ten times a second at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

Progress = Callable[[str, str, int | None, int | None], None]

INTERVAL_S = 0.1


def silent(_id: str, _status: str, _current: int | None, _total: int | None) -> None:
    """A progress that nobody follows."""


class Reporter:
    """Passes progress on from the loop and from threads."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()

    def tell(self, id_: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """Report at once; on the loop."""
        self._progress(id_, status, current, total)

    def post(self, id_: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """Report from a thread; in the order of the calls."""
        self._loop.call_soon_threadsafe(self._progress, id_, status, current, total)

    def counter(self, id_: str, status: str, total: int | None) -> Callable[[int], None]:
        """Something to tell a growing number of bytes to, from one thread."""
        last = 0.0

        def count(current: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= INTERVAL_S:
                last = now
                self.post(id_, status, current, total)

        return count
