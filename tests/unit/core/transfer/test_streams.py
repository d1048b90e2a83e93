"""Streams between the loop and a thread: whole, bounded, and over when one side gives up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from wherry.core.threads import Threads
from wherry.core.transfer.streams import (
    PIECE_BYTES,
    PIECES,
    PieceWriter,
    StreamClosed,
    open_source,
    stream_from_thread,
)
from wherry.errors import InvalidArgument

DATA = bytes(range(256)) * 8192


@pytest.fixture
def threads() -> Iterator[Threads]:
    pools = Threads(transfer=2)
    yield pools
    pools.close()


async def pieces_of(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        yield b""


async def never() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("size", [7001, 65536, len(DATA)])
def test_a_body_is_read_whole(threads: Threads, size: int) -> None:
    async def read() -> bytes:
        file, _ = open_source(pieces_of(DATA, size))
        return await threads.transfer(file.read)

    assert asyncio.run(read()) == DATA


def test_a_failing_body_fails_the_reader(threads: Threads) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise InvalidArgument("broken")

    async def read() -> bytes:
        file, _ = open_source(broken())
        return await threads.transfer(file.read)

    with pytest.raises(InvalidArgument, match="broken"):
        asyncio.run(read())


def test_a_stopped_body_wakes_its_reader(threads: Threads) -> None:
    async def read() -> None:
        file, stop = open_source(never())
        call = asyncio.ensure_future(threads.transfer(file.read))
        await asyncio.sleep(0.05)
        stop()
        with pytest.raises(StreamClosed):
            await asyncio.wait_for(call, 2)

    asyncio.run(read())


def test_what_a_thread_writes_is_iterated(threads: Threads) -> None:
    def produce(writer: PieceWriter) -> None:
        for start in range(0, len(DATA), 1000):
            writer.write(DATA[start : start + 1000])

    async def collect() -> bytes:
        return b"".join([piece async for piece in stream_from_thread(threads, produce)])

    assert asyncio.run(collect()) == DATA


def test_a_failure_of_the_thread_is_the_reader_s(threads: Threads) -> None:
    def produce(writer: PieceWriter) -> None:
        writer.write(bytes(PIECE_BYTES))
        raise InvalidArgument("broken")

    async def collect() -> list[bytes]:
        return [piece async for piece in stream_from_thread(threads, produce)]

    with pytest.raises(InvalidArgument, match="broken"):
        asyncio.run(collect())


def test_a_slow_reader_holds_the_thread_back(threads: Threads) -> None:
    written = 0

    def produce(writer: PieceWriter) -> None:
        nonlocal written
        for _ in range(100):
            writer.write(bytes(PIECE_BYTES))
            written += 1

    async def look() -> None:
        pieces = stream_from_thread(threads, produce)
        await anext(pieces)
        await asyncio.sleep(0.1)
        assert written <= PIECES + 2
        await pieces.aclose()  # type: ignore[attr-defined]

    asyncio.run(look())


def test_a_reader_that_leaves_ends_the_thread(threads: Threads) -> None:
    ended = threading.Event()

    def produce(writer: PieceWriter) -> None:
        try:
            while True:
                writer.write(bytes(PIECE_BYTES))
        except StreamClosed:
            ended.set()
            raise

    async def leave() -> None:
        async for _ in (pieces := stream_from_thread(threads, produce)):
            break
        await pieces.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())

    assert ended.wait(2)
