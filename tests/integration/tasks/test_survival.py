"""Deaths at each place of the chain: who goes on, and what is found again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.tasks.bench import Bench, Client, end, is_running, run

import wherry
from wherry.core.tasks import SHIM_LOST, Task, TaskService
from wherry.errors import Conflict
from wherry.spawner import client as spawner_client

REPOSITORY = Path(__file__).parents[3]
# Prints what it reads, and ends when it reads "end".
ECHO = 'while read line; do echo "got $line"; [ "$line" = end ] && exit 7; done'


def shim_pid(bench: Bench, task: Task) -> int:
    record = json.loads((bench.bundle(task) / "record.json").read_text())
    pid: int = record["shim_pid"]
    return pid


async def wait_until_gone(pid: int) -> None:
    while is_running(pid):
        await asyncio.sleep(0.01)


def start_controller(bench: Bench, task_id: str, client: Client, script: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "tests.integration.tasks.controller",
        str(bench.path), str(bench.root), task_id, str(client.theirs.fileno()), script,
    ]  # fmt: skip
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}", "PATH": os.environ["PATH"]}
    controller = subprocess.Popen(
        command,
        env=environment,
        cwd=REPOSITORY,
        pass_fds=[client.theirs.fileno()],
        stdout=subprocess.PIPE,
        text=True,
    )
    client.theirs.close()
    return controller


def test_a_killed_daemon_disturbs_neither_streams_nor_log_nor_exec(bench: Bench) -> None:
    async def test() -> None:
        bench.parent = "/wherry-test-survival"
        client = bench.client()
        controller = start_controller(bench, "task", client, ECHO)
        with controller:
            assert controller.stdout is not None
            assert await asyncio.to_thread(controller.stdout.readline) == "ready\n"
            await client.send(b"one\n")
            assert await client.read_until(b"got one\n") == b"got one\n"

            controller.kill()
            controller.wait()

            await client.send(b"two\n")  # nobody but the shim is left to pass this on
            assert await client.read_until(b"got two\n") == b"got two\n"
        (bench.path / "upper-1" / "tmp").mkdir(exist_ok=True)
        async with bench:
            (task,) = await bench.service.recover()
            Path(f"/proc/{task.pid}/root/tmp/go").touch()

            assert (await task.exec_exited("e")).exit_code == 23
            await client.send(b"end\n")
            assert (await task.exited).exit_code == 7
            assert await client.read_all() == b"got end\n"
            assert (bench.path / "task.log").read_bytes().count(b'"log":"got') == 3

    run(test)


def test_exits_that_nobody_heard_are_told_to_who_asks_later(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "sleep 0.3; exit 4")
            process = {"args": ["sh", "-c", "exit 5"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
            await task.create_exec("e", process | {"env": ["PATH=/bin"]})
            await task.start_exec("e")
            await bench.service.close()
            await asyncio.sleep(0.5)

            (again,) = await bench.restart()

            assert (await again.exited).exit_code == 4
            assert (await again.exec_exited("e")).exit_code == 5
            await again.released

    run(test)


def test_a_created_task_is_found_again_and_can_be_started(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await bench.create("sh", "-c", "exit 6", task_id="created")

            (task,) = await bench.restart()

            assert (task.tenant, task.id, task.state) == ("test", "created", "created")
            await task.start()
            assert (await task.exited).exit_code == 6

    run(test)


def test_who_is_attached_to_what_never_started_is_let_go_when_the_daemon_dies(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            created = await bench.create("sh", "-c", "exit 6", stdin=True)
            running = await bench.start("sleep", "1000")
            process = {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]}
            await running.create_exec("e", process)
            clients = [bench.client(), bench.client()]
            await clients[0].attach(created, stdin=True)
            await clients[1].attach(running, exec_id="e")

            await bench.service.close()

            assert [await client.read_all() for client in clients] == [b"", b""]
            tasks = {task.id: task for task in await bench.restart()}
            await tasks[created.id].start()
            assert (await tasks[created.id].exited).exit_code == 6
            await tasks[running.id].start_exec("e")
            assert (await tasks[running.id].exec_exited("e")).exit_code == 0

    run(test)


def test_a_paused_task_is_found_paused(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await (await bench.start("sleep", "1000")).pause()

            (task,) = await bench.restart()

            assert task.state == "paused"
            await task.resume()

    run(test)


def test_a_killed_spawner_is_replaced_and_no_task_notices(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "sleep 1000")
            os.kill(bench.service.spawner_pid, signal.SIGKILL)
            await wait_until_gone(bench.service.spawner_pid)

            assert (await bench.run("sh", "-c", "exit 3")).exit_code == 3

            assert task.state == "running"
            await task.kill(9)
            assert (await task.exited).exit_code == 137

    run(test)


def test_starts_go_on_while_spawners_die(bench: Bench) -> None:
    async def test() -> None:
        async with bench:

            async def kill_spawners() -> None:
                for _ in range(5):
                    await asyncio.sleep(0.12)
                    if bench.service.spawner_pid:
                        os.kill(bench.service.spawner_pid, signal.SIGKILL)

            killing = asyncio.ensure_future(kill_spawners())
            ends = [await bench.run("sh", "-c", f"exit {number}") for number in range(12)]
            await killing

            assert [each.exit_code for each in ends] == list(range(12))

    run(test)


def test_a_lost_shim_ends_its_task_and_nothing_of_it_runs_on(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "sleep 1000")
            pid = task.pid

            os.kill(shim_pid(bench, task), signal.SIGKILL)

            ended = await task.exited
            assert (ended.exit_code, ended.error) == (137, SHIM_LOST)
            await task.released
            assert not is_running(pid)
            assert not bench.cgroup_of(task).exists()

    run(test)


def test_a_created_task_whose_shim_was_lost_can_be_deleted_at_once(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("sleep", "1000")
            os.kill(shim_pid(bench, task), signal.SIGKILL)

            await task.delete()

            assert not bench.bundle(task).exists()

    run(test)


def test_a_shim_that_was_lost_while_nobody_looked_is_cleaned_up_at_the_next_start(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            lost = await bench.start("sh", "-c", "sleep 1000", task_id="lost")
            process = {"args": ["sh", "-c", "exit 5"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
            await lost.create_exec("e", process | {"env": ["PATH=/bin"]})
            await lost.start_exec("e")
            await lost.exec_exited("e")
            shim = shim_pid(bench, lost)
            await bench.service.close()
            os.kill(shim, signal.SIGKILL)
            await wait_until_gone(shim)

            (task,) = await bench.restart()

            assert (task.state, (await task.exited).exit_code) == ("stopped", 137)
            assert (await task.exec_exited("e")).exit_code == 5  # kept in the bundle
            assert not is_running(lost.pid)
            await end(task)

    run(test)


def test_a_shim_that_does_not_answer_keeps_nobody_from_the_others(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            silent = await bench.start("sleep", "1000")
            other = await bench.start("sleep", "1000")
            stopped = shim_pid(bench, silent)
            os.kill(stopped, signal.SIGSTOP)
            try:
                await bench.service.close()
                bench.service = bench.new_service()
                await bench.service.start_spawner()
                tasks = {task.id: task for task in await bench.service.recover(answer_timeout_s=0.3)}

                await end(tasks[other.id])
                again = tasks[silent.id]
                assert (again.state, again.pid) == ("running", silent.pid)
            finally:
                os.kill(stopped, signal.SIGCONT)
            while not await is_rejoined(again):
                await asyncio.sleep(0.05)
            await end(again)
            assert (await again.exited).exit_code == 137

    run(test)


async def is_rejoined(task: Task) -> bool:
    try:
        return await task.pids() == [task.pid]
    except Conflict:
        return False


def test_a_bundle_whose_shim_never_came_is_a_lost_task(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await bench.service.close()
            bundle = bench.exec_root / "tasks" / "test" / "never"
            bundle.mkdir(parents=True)
            (bundle / "config.json").write_text("{}")

            (task,) = await bench.restart()

            assert (await task.exited).error == SHIM_LOST

    run(test)


def test_a_removal_left_half_done_is_finished(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await bench.service.close()
            half = bench.exec_root / "tasks" / "test" / ".removed-x"
            half.mkdir(parents=True)
            (half / "config.json").write_text("{}")

            assert list(await bench.restart()) == []

            assert not half.exists()

    run(test)


def test_a_shim_works_on_when_its_package_is_deleted(bench: Bench) -> None:
    async def test() -> None:
        source = bench.path / "source"
        package = Path(wherry.__file__).parent
        shutil.copytree(package, source / "wherry", ignore=shutil.ignore_patterns("__pycache__"))
        command = [*spawner_client.default_command()[:-1], str(source)]
        bench.service = TaskService(
            exec_root=bench.exec_root,
            seccomp_cache=bench.path / "seccomp",
            threads=bench.threads,
            spawner_command=command,
        )
        async with bench:
            task = await bench.start("sh", "-c", "sleep 1000", memory_bytes=64 << 20)
            shutil.rmtree(source)

            process = {"args": ["sh", "-c", "exit 5"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
            await task.create_exec("e", process | {"env": ["PATH=/bin"]})
            await task.start_exec("e")

            assert (await task.exec_exited("e")).exit_code == 5
            assert await task.stats()
            await task.pause()
            await task.resume()
            await task.update({"memory": {"limit": 32 << 20, "swap": 32 << 20}, "cpu": {"shares": 512}})
            assert (await bench.run("sh", "-c", "exit 8")).exit_code == 8  # the spawner is warm as well
            await task.kill(9)
            assert (await task.exited).exit_code == 137
            assert (bench.bundle(task) / "shim.log").read_text() == ""

    run(test)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_shim_outlives_a_signal_to_end(bench: Bench, number: int) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "sleep 1000")

            os.kill(shim_pid(bench, task), number)

            assert await task.pids()

    run(test)
