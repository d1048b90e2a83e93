"""Threads: the bounded pools on which coroutines call what blocks.

There are three, so that one kind of waiting never delays another: `kernel` for system calls
of a start or a stop, `disk` for stores, `transfer` for registries.  Fifty stalled pulls fill
the transfer pool and delay no stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from queue import SimpleQueue
from typing import Any, Generic, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Pool = Literal["kernel", "disk", "transfer"]


class Threads:
    """The pools of one engine.  `close` waits for the calls that run."""

    def __init__(self, *, kernel: int = 8, disk: int = 6, transfer: int = 12) -> None:
        self._pools: dict[Pool, ThreadPoolExecutor] = {
            "kernel": ThreadPoolExecutor(kernel, "kernel"),
            "disk": ThreadPoolExecutor(disk, "disk"),
            "transfer": ThreadPoolExecutor(transfer, "transfer"),
        }

    async def kernel(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` on the kernel pool."""
        return await self._call("kernel", function, *args, **kwargs)

    async def disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` on the disk pool."""
        return await self._call("disk", function, *args, **kwargs)

    async def transfer(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` on the transfer pool."""
        return await self._call("transfer", function, *args, **kwargs)

    async def _call(self, pool: Pool, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        future = self._pools[pool].submit(function, *args, **kwargs)
        return await asyncio.wrap_future(future)

    @asynccontextmanager
    async def in_thread(
        self, manager: AbstractContextManager[T], *, pool: Pool = "disk"
    ) -> AsyncIterator[Held[T]]:
        """Enter `manager` on one thread of `pool`, and leave it there when the block ends.

        The block talks to the value through `Held.call`, which runs on that same thread, so a
        context manager with a lock or a transaction works as in plain code.  The thread is
        taken from the pool for as long as the block lasts.
        """
        held = Held[T]()
        session = self._pools[pool].submit(held._serve, manager)
        waiter = asyncio.wrap_future(session)
        try:
            held.value = await asyncio.wrap_future(held._entered)
        except asyncio.CancelledError:
            held._stop(asyncio.CancelledError())
            await asyncio.shield(waiter)
            raise
        try:
            yield held
        except BaseException as error:
            held._stop(error)
            if not await asyncio.shield(waiter):
                raise
        else:
            held._stop(None)
            await asyncio.shield(waiter)

    def close(self) -> None:
        """Wait for the calls that run, drop those that wait, and end the threads."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)


class Held(Generic[T]):
    """A context manager entered on a thread of its own for the length of an `in_thread` block."""

    value: T

    def __init__(self) -> None:
        self._entered: Future[T] = Future()
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._outcome: BaseException | None = None

    async def call(self, function: Callable[P, T2], *args: P.args, **kwargs: P.kwargs) -> T2:
        """Call `function` on the thread that entered the block."""
        answer: Future[T2] = Future()
        self._calls.put((lambda: function(*args, **kwargs), answer))
        return await asyncio.wrap_future(answer)

    def _stop(self, outcome: BaseException | None) -> None:
        self._outcome = outcome
        self._calls.put(None)

    def _serve(self, manager: AbstractContextManager[T]) -> bool:
        """Enter, answer calls, leave.  True when the manager swallowed the block's exception."""
        try:
            with manager as value:
                self._entered.set_result(value)
                self._answer_calls()
                if self._outcome is not None:
                    raise self._outcome
        except BaseException as error:
            if not self._entered.done():
                self._entered.set_exception(error)
                return False
            if error is self._outcome:
                return False
            raise
        return self._outcome is not None

    def _answer_calls(self) -> None:
        while (item := self._calls.get()) is not None:
            call, answer = item
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                answer.set_exception(error)
            else:
                answer.set_result(result)


T2 = TypeVar("T2")
