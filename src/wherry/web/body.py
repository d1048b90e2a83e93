"""A request's body: filled by a connection, emptied by a handler, and never much of it in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from wherry.web.messages import BadRequest

HIGH_WATER_BYTES = 512 * 1024
LOW_WATER_BYTES = 128 * 1024


def _nothing() -> None:
    """Where no connection wants to know."""


class RequestBody:
    """Chunks of a body, in order.

    The connection calls `feed`, `end` and `fail`; it is asked to `pause` when the handler is slower than
    the client.  `want` is called once, when the handler first waits for the body: HTTP/1.1 then answers
    `Expect: 100-continue`.
    """

    __slots__ = (
        "_chunks",
        "_error",
        "_held_bytes",
        "_is_paused",
        "_pause",
        "_resume",
        "_waiter",
        "_want",
        "discarded_bytes",
        "has_ended",
    )

    def __init__(
        self,
        *,
        pause: Callable[[], None] = _nothing,
        resume: Callable[[], None] = _nothing,
        want: Callable[[], None] = _nothing,
    ) -> None:
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._pause, self._resume, self._want = pause, resume, want
        self._is_paused = False
        self.has_ended = False
        self.discarded_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._error:
            self.discarded_bytes += len(chunk)
            return
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes > HIGH_WATER_BYTES and not self._is_paused:
            self._is_paused = True
            self._pause()
        self._wake()

    def end(self) -> None:
        """There is no more."""
        self.has_ended = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """The rest will not come: whoever reads gets `error`."""
        if not self.has_ended and not self._error:
            self._error = error
            self._wake()

    def take(self) -> bytes:
        """What is held at this moment; for a handler that goes on with the connection itself."""
        held = b"".join(self._chunks)
        self._chunks.clear()
        self._held_bytes = 0
        self._let_flow()
        return held

    def discard(self) -> None:
        """Drop what is held and what still comes: nobody reads it any more."""
        self._error = self._error or BadRequest("the body is no longer read")
        self.discarded_bytes += self._held_bytes
        self._chunks.clear()
        self._held_bytes = 0
        self._let_flow()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks as they arrive.

        Raises:
            Disconnected: the client went away before the end.
            BadRequest: the body broke HTTP's framing.
        """
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._held_bytes -= len(chunk)
                if self._held_bytes <= LOW_WATER_BYTES:
                    self._let_flow()
                yield chunk
            if self._error:
                raise self._error
            if self.has_ended:
                return
            self._ask()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            BadRequest: more than `limit_bytes`, or broken framing.
            Disconnected: the client went away before the end.
        """
        parts = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > limit_bytes:
                raise BadRequest(f"request body is larger than {limit_bytes} bytes", status=413)
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _ask(self) -> None:
        want, self._want = self._want, _nothing
        want()

    def _let_flow(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._resume()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_result(None)
