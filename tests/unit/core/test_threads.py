"""The thread pools: nothing waits for another kind of work, and blocks stay on one thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wherry.core.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(kernel=2, disk=2, transfer=2)
    yield threads
    threads.close()


def test_a_call_runs_on_the_pool_it_asks_for(threads: Threads) -> None:
    def name(suffix: str) -> str:
        return threading.current_thread().name.split("_")[0] + suffix

    async def ask() -> list[str]:
        return [await pool(name, "!") for pool in (threads.kernel, threads.disk, threads.transfer)]

    assert asyncio.run(ask()) == ["kernel!", "disk!", "transfer!"]


def test_a_full_pool_delays_no_other(threads: Threads) -> None:
    release = threading.Event()

    async def ask() -> str:
        stalled = [asyncio.create_task(threads.transfer(release.wait)) for _ in range(10)]
        answer = await asyncio.wait_for(threads.kernel(lambda: "at once"), 5)
        release.set()
        await asyncio.gather(*stalled)
        return answer

    assert asyncio.run(ask()) == "at once"


def test_a_failure_reaches_the_caller(threads: Threads) -> None:
    async def ask() -> None:
        await threads.disk(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        asyncio.run(ask())


@contextmanager
def recorded(seen: list[object]) -> Iterator[str]:
    seen.append(threading.get_ident())
    try:
        yield "value"
    except BaseException as error:
        seen.append(type(error))
        raise
    finally:
        seen.append(threading.get_ident())


def test_a_block_is_entered_used_and_left_on_one_thread(threads: Threads) -> None:
    seen: list[object] = []

    async def use() -> None:
        async with threads.in_thread(recorded(seen)) as held:
            assert held.value == "value"
            seen.append(await held.call(threading.get_ident))

    asyncio.run(use())

    assert len(seen) == 3
    assert set(seen) != {threading.get_ident()}
    assert len(set(seen)) == 1


def test_an_exception_of_the_block_goes_through_the_context_manager(threads: Threads) -> None:
    seen: list[object] = []

    async def use() -> None:
        async with threads.in_thread(recorded(seen)) as held:
            await held.call(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        asyncio.run(use())
    assert seen[1] is ValueError


def test_what_the_context_manager_raises_at_its_end_is_raised(threads: Threads) -> None:
    @contextmanager
    def failing() -> Iterator[None]:
        yield
        raise KeyError("verification")

    async def use() -> None:
        async with threads.in_thread(failing()):
            pass

    with pytest.raises(KeyError, match="verification"):
        asyncio.run(use())


def test_what_it_raises_at_its_begin_is_raised_and_frees_the_thread(threads: Threads) -> None:
    @contextmanager
    def failing() -> Iterator[None]:
        raise KeyError("busy")
        yield

    async def use() -> None:
        for _ in range(5):
            with pytest.raises(KeyError, match="busy"):
                async with threads.in_thread(failing()):
                    pass
        assert await threads.disk(lambda: 1) == 1

    asyncio.run(use())


def test_a_context_manager_may_swallow_the_exception(threads: Threads) -> None:
    @contextmanager
    def forgiving() -> Iterator[None]:
        try:
            yield
        except ValueError:
            pass

    async def use() -> None:
        async with threads.in_thread(forgiving()):
            raise ValueError

    asyncio.run(use())


def test_a_cancelled_block_is_left_in_order(threads: Threads) -> None:
    seen: list[object] = []

    async def use() -> None:
        async with threads.in_thread(recorded(seen)):
            await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert seen[1] is asyncio.CancelledError
    assert len(seen) == 3
