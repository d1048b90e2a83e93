"""Output, input and terminals, as clients see them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.integration.tasks.bench import Bench, frames, run, stream_of

from wherry.errors import Conflict
from wherry.logs.json_file import JsonFileReader

MIB = 1 << 20


def logged(path: Path, stream: str = "stdout") -> bytes:
    with JsonFileReader(str(path)) as reader:
        return b"".join(text for _, name, text, _ in reader.read() if name == stream)


def log_of(bench: Bench, task_id: str) -> Path:
    return bench.path / f"{task_id}.log"


def test_a_client_that_is_gone_stops_nothing(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "head -c 3000000 /dev/zero; echo; echo end", log=True)
            gone = bench.client()
            ended = await gone.attach(task)
            gone.close()

            await task.start()

            assert (await task.exited).exit_code == 0
            assert await ended == "eof"
            assert logged(log_of(bench, task.id)).endswith(b"\0\nend\n")

    run(test)


def test_a_client_that_goes_while_the_task_waits_for_it_lets_it_go_on(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "head -c 8000000 /dev/zero; sleep 1000")
            stalled = bench.client()
            ended = await stalled.attach(task)
            await task.start()
            await stalled.read(1000)
            await asyncio.sleep(0.2)  # until the queue is full

            stalled.close()

            assert await ended == "eof"

    run(test)


def test_a_slow_client_holds_the_task_up_and_loses_nothing(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "head -c 5000000 /dev/zero; echo done >&2", log=True)
            slow = bench.client()
            ended = await slow.attach(task, framed=True)
            await task.start()
            await asyncio.sleep(0.3)
            assert task.state == "running"

            data = await slow.read_all()

            assert len(stream_of(data, 1)) == 5000000
            assert stream_of(data, 2) == b"done\n"
            assert await ended == "exited"
            assert len(logged(log_of(bench, task.id))) == 5000000

    run(test)


def test_a_fast_client_is_not_held_up_by_the_end_of_a_slow_one(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "head -c 4000000 /dev/zero")
            fast, slow = bench.client(), bench.client()
            await fast.attach(task)
            await slow.attach(task)
            await task.start()
            reading = asyncio.ensure_future(fast.read_all())
            await asyncio.sleep(0.1)

            slow.close()

            assert len(await reading) == 4000000

    run(test)


def test_attached_before_the_start_a_client_gets_every_byte_in_frames(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "echo out; echo err >&2; printf tail")
            client = bench.client()
            ended = await client.attach(task, framed=True)

            await task.start()

            data = await client.read_all()
            assert stream_of(data, 1) == b"out\ntail"
            assert stream_of(data, 2) == b"err\n"
            assert {stream for stream, _ in frames(data)} == {1, 2}
            assert await ended == "exited"

    run(test)


def test_each_client_gets_the_streams_it_asked_for(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "echo out; echo err >&2")
            only_out, only_err = bench.client(), bench.client()
            await only_out.attach(task, stderr=False)
            await only_err.attach(task, stdout=False)

            await task.start()

            assert await only_out.read_all() == b"out\n"
            assert await only_err.read_all() == b"err\n"

    run(test)


def test_half_closing_ends_the_programs_input_and_its_output_still_comes(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            payload = os.urandom(3 * MIB)
            task = await bench.create("cat", stdin=True)
            client = bench.client()
            ended = await client.attach(task, stdin=True, leftover=payload[:10])
            await task.start()
            reading = asyncio.ensure_future(client.read_all())

            await client.send(payload[10:])
            client.close_input()

            assert await reading == payload
            assert await ended == "exited"
            assert (await task.exited).exit_code == 0

    run(test)


def test_input_before_the_start_is_not_lost(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("cat", stdin=True)
            client = bench.client()
            await client.attach(task, stdin=True)
            await client.send(b"early\n")
            client.close_input()

            await task.start()

            assert await client.read_all() == b"early\n"

    run(test)


def test_without_stdin_once_half_closing_only_ends_the_attachment(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("cat", stdin=True)
            first = bench.client()
            ended = await first.attach(task, stdin=True, close_stdin_on_eof=False)
            await first.send(b"one\n")
            assert await first.read_until(b"one\n")
            first.close_input()
            assert await ended == "eof"

            second = bench.client()
            await second.attach(task, stdin=True)
            await second.send(b"two\n")

            assert await second.read_until(b"two\n") == b"two\n"
            assert task.state == "running"

    run(test)


def test_a_client_that_does_not_want_input_may_half_close_at_once(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "sleep 0.1; echo late")
            client = bench.client()
            ended = await client.attach(task)
            client.close_input()

            await task.start()

            assert await client.read_all() == b"late\n"
            assert await ended == "exited"

    run(test)


def test_input_that_the_program_does_not_want_does_not_hang_anything(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "exec <&-; sleep 0.2; echo end", stdin=True)
            client = bench.client()
            await client.attach(task, stdin=True)
            await task.start()

            await client.send(b"x" * 4 * MIB)

            assert await client.read_all() == b"end\n"

    run(test)


def test_a_terminal_is_one_raw_stream_with_the_size_asked_for(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create(
                "sh", "-c", "read x; stty size; echo err >&2", terminal=True, stdin=True
            )
            client = bench.client()
            ended = await client.attach(task, stdin=True)
            await task.resize(33, 111)
            await task.start()

            await client.send(b"\r")

            assert (await client.read_until(b"err\r\n")).endswith(b"33 111\r\nerr\r\n")
            assert await client.read_all() == b""
            assert await ended == "exited"

    run(test)


def test_detach_keys_typed_one_by_one_end_the_attachment_alone(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("cat", terminal=True, stdin=True)
            client = bench.client()
            ended = await client.attach(task, stdin=True, detach_keys=b"\x10\x11")
            await client.send(b"abc")
            await client.read_until(b"abc")

            await client.send(b"\x10")
            await asyncio.sleep(0.05)
            await client.send(b"\x11")

            assert await ended == "detached"
            assert await client.read_all() == b""
            assert task.state == "running"

    run(test)


def test_resizing_what_is_no_terminal_is_a_conflict(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")

            with pytest.raises(Conflict):
                await task.resize(1, 1)

    run(test)


def test_attaching_to_a_stopped_task_is_a_conflict(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("true")
            await task.exited

            with pytest.raises(Conflict):
                await bench.client().attach(task)

    run(test)


def test_the_log_is_whole_when_the_exit_is_told(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "head -c 300000 /dev/zero; printf 'no newline'", log=True)

            await task.exited

            assert logged(log_of(bench, task.id)) == bytes(300000) + b"no newline"
            assert await task.log_position() == log_of(bench, task.id).stat().st_size

    run(test)


def test_the_client_meets_the_end_when_the_caller_lets_go_too(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sh", "-c", "echo last", stdin=True)
            client = bench.client()
            kept = os.dup(client.theirs.fileno())
            ended = await client.attach(task, stdin=True)
            await task.start()

            assert await ended == "exited"
            assert await client.read() == b"last\n"
            os.write(kept, b"still open")
            assert await client.read() == b"still open"
            os.close(kept)
            assert await client.read() == b""

    run(test)
