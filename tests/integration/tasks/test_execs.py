"""Processes that join a running task."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from tests.integration.tasks.bench import Bench, run, stream_of

from wherry.core.tasks import ExecNotFound, Exit, StartFailed, Task
from wherry.errors import AlreadyExists, Conflict, InvalidArgument


def process(*args: str, terminal: bool = False) -> dict[str, Any]:
    return {
        "args": list(args),
        "cwd": "/",
        "user": {"uid": 0, "gid": 0},
        "env": ["PATH=/bin"],
        "terminal": terminal,
    }


async def run_exec(task: Task, exec_id: str, *args: str) -> Exit:
    await task.create_exec(exec_id, process(*args))
    await task.start_exec(exec_id)
    return await task.exec_exited(exec_id)


def test_a_command_that_cannot_run_says_why_and_lets_its_client_go(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.create_exec("e", process("missing"))
            client = bench.client()
            kept = os.dup(client.theirs.fileno())
            ended = await client.attach(task, exec_id="e")

            with pytest.raises(StartFailed) as failure:
                await task.start_exec("e")

            assert str(failure.value) == 'exec: "missing": executable file not found in $PATH'
            assert await ended == "failed"
            assert (await task.exec_exited("e")).exit_code == 127
            os.write(kept, b"the engine's own words")  # nobody has shut the socket down
            os.close(kept)
            assert await client.read_all() == b"the engine's own words"

    run(test)


@pytest.mark.parametrize("exec_id", ["", "..", "a/b", ".x", "x" * 200])
def test_an_exec_id_is_one_plain_name(bench: Bench, exec_id: str) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")

            with pytest.raises(InvalidArgument):
                await task.create_exec(exec_id, process("true"))

    run(test)


def test_an_exec_runs_once_and_its_id_is_its_own(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            with pytest.raises(ExecNotFound):
                await task.start_exec("e")
            await run_exec(task, "e", "true")

            with pytest.raises(AlreadyExists):
                await task.create_exec("e", process("true"))
            with pytest.raises(Conflict):
                await task.start_exec("e")

            await task.delete_exec("e")
            with pytest.raises(ExecNotFound):
                task.exec_exited("e")
            await run_exec(task, "e", "true")

    run(test)


def test_a_paused_task_takes_no_exec(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.create_exec("e", process("true"))
            await task.pause()

            with pytest.raises(Conflict):
                await task.start_exec("e")

            await task.resume()
            await task.start_exec("e")

    run(test)


def test_the_exit_code_comes_and_is_kept_in_the_bundle(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")

            assert (await run_exec(task, "e", "sh", "-c", "exit 9")).exit_code == 9

            kept = bench.bundle(task) / "execs" / "e.json"
            assert b'"exit_code":9' in kept.read_bytes()
            await task.delete_exec("e")
            assert not kept.exists()

    run(test)


def test_an_execs_streams_are_its_clients(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000", log=True)
            await task.create_exec("e", process("sh", "-c", "cat; echo err >&2"), stdin=True)
            client = bench.client()
            ended = await client.attach(task, exec_id="e", stdin=True, framed=True, leftover=b"early ")
            await client.send(b"bytes")

            await task.start_exec("e")
            client.close_input()

            data = await client.read_all()
            assert (stream_of(data, 1), stream_of(data, 2)) == (b"early bytes", b"err\n")
            assert await ended == "exited"
            assert (bench.path / f"{task.id}.log").read_bytes() == b""  # of init alone

    run(test)


def test_an_exec_may_have_a_terminal(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.create_exec(
                "e", process("sh", "-c", "read x; stty size", terminal=True), terminal=True, stdin=True
            )
            client = bench.client()
            await client.attach(task, exec_id="e", stdin=True)
            await task.start_exec("e")

            await task.resize(20, 70, exec_id="e")
            await client.send(b"\r")

            assert b"20 70\r\n" in await client.read_all()

    run(test)


def test_an_exec_can_be_killed(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.create_exec("e", process("sleep", "1000"))
            await task.start_exec("e")

            await task.kill(9, exec_id="e")

            assert (await task.exec_exited("e")).exit_code == 137
            assert task.state == "running"

    run(test)


def test_execs_end_with_init_and_before_the_release(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.create_exec("e", process("sleep", "1000"))
            await task.start_exec("e")

            await task.kill(9)
            await task.released

            assert task.exec_exited("e").done()
            assert (await task.exec_exited("e")).exit_code == 137

    run(test)


def test_a_child_that_keeps_an_execs_output_open_is_waited_for_only_a_moment(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.create_exec("e", process("sh", "-c", "sleep 1000 & echo started"))
            client = bench.client()
            ended = await client.attach(task, exec_id="e")
            await task.start_exec("e")

            assert (await task.exec_exited("e")).exit_code == 0
            async with asyncio.timeout(5):
                assert await client.read_all() == b"started\n"
            assert await ended == "exited"

    run(test)
