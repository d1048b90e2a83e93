"""From create to delete, with a real kernel."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.integration.tasks.bench import Bench, end, is_running, run

from wherry.core.tasks import StartFailed, TaskNotFound
from wherry.errors import AlreadyExists, Conflict, InvalidArgument


@pytest.mark.parametrize(
    ("args", "exit_code", "text"),
    [
        (["nothing-of-this-name"], 127, 'exec: "nothing-of-this-name": executable file not found in $PATH'),
        (["/missing"], 127, 'exec: "/missing": stat /missing: no such file or directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_a_command_that_cannot_run_says_why_and_leaves_nothing(
    bench: Bench, args: list[str], exit_code: int, text: str
) -> None:
    async def test() -> None:
        async with bench:
            with pytest.raises(StartFailed) as failure:
                await bench.start(*args)

            assert str(failure.value) == text
            assert failure.value.exit_code == exit_code

    run(test)


def test_an_unmountable_root_is_a_failed_create_without_remains(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            broken = bench.writable()
            (bench.path / "work-1").rmdir()

            with pytest.raises(Exception, match="cannot mount the root directory"):
                await bench.create("true", rootfs=broken)

            assert list((bench.exec_root / "tasks" / "test").iterdir()) == []

    run(test)


def test_an_id_is_used_once_at_a_time(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await bench.create("true", task_id="twice")

            with pytest.raises(AlreadyExists):
                await bench.create("true", task_id="twice")

    run(test)


@pytest.mark.parametrize(
    ("script", "exit_code"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 0), ("kill -TERM 1; exit 3", 3)]
)
def test_the_exit_code_is_the_programs(bench: Bench, script: str, exit_code: int) -> None:
    async def test() -> None:
        async with bench:
            ended = await bench.run("sh", "-c", script)

            assert (ended.exit_code, ended.error, ended.oom_killed) == (exit_code, "", False)

    run(test)


def test_a_signal_makes_128_and_its_number(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.kill(9)

            assert (await task.exited).exit_code == 137

    run(test)


def test_nothing_is_left_after_released(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            pid, bundle = task.pid, bench.bundle(task)
            shim_pid = json.loads((bundle / "record.json").read_text())["shim_pid"]

            await task.kill(9)
            await task.released

            assert not is_running(pid)
            assert not bench.cgroup_of(task).exists()
            assert json.loads((bundle / "exit.json").read_text())["exit_code"] == 137
            await task.delete()
            assert not bundle.exists()
            while is_running(shim_pid):  # it ends by itself; the test's deadline is the limit
                await asyncio.sleep(0.01)
            with pytest.raises(TaskNotFound):
                bench.service.get(task.tenant, task.id)

    run(test)


def test_a_created_task_that_never_starts_can_be_deleted(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.create("true")
            await task.delete()

            assert not bench.bundle(task).exists()
            assert [event.topic for event in bench.events] == ["exited", "released"]

    run(test)


def test_a_running_task_cannot_be_deleted_nor_started_again(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")

            with pytest.raises(Conflict):
                await task.delete()
            with pytest.raises(Conflict):
                await task.start()

    run(test)


def test_what_is_asked_of_a_stopped_task_is_a_conflict(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("true")
            await task.exited

            for call in (task.kill(9), task.pause(), task.resume(), task.pids(), task.stats()):
                with pytest.raises(Conflict):
                    await call
            with pytest.raises(Conflict):
                await task.create_exec("x", {"args": ["true"], "cwd": "/"})

    run(test)


def test_running_out_of_memory_is_told(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            # tail keeps what it reads: an endless line does not fit.
            ended = await bench.run(
                "sh", "-c", "head -c 200m /dev/zero | /bin/busybox tail", memory_bytes=16 << 20
            )

            assert ended.oom_killed

    run(test)


def test_pause_freezes_and_resume_thaws(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "sleep 1000")
            await task.pause()
            assert task.state == "paused"
            with pytest.raises(Conflict):
                await task.pause()

            await task.resume()
            assert task.state == "running"
            with pytest.raises(Conflict):
                await task.resume()

    run(test)


def test_a_paused_task_can_be_killed(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await task.pause()

            await task.kill(9)

            assert (await task.exited).exit_code == 137

    run(test)


def test_pids_stats_and_update_look_into_the_cgroup(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "sleep 1000 & wait", memory_bytes=64 << 20)
            while len(await task.pids()) < 2:
                pass

            assert task.pid in await task.pids()
            assert await task.stats()
            await task.update({"pids": {"limit": 77}})
            limit = bench.cgroup_of(task).directories().get("pids") or bench.cgroup_of(task).directories()[""]
            with open(f"{limit}/pids.max") as file:
                assert file.read().strip() == "77"
            with pytest.raises(InvalidArgument):
                await task.update({"memory": {"limit": 1}})

    run(test)


def test_a_signal_to_all_reaches_every_process(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sh", "-c", "trap 'exit 7' TERM; sleep 1000 & wait")
            while len(await task.pids()) < 2:
                pass

            await task.kill(15, all=True)

            assert (await task.exited).exit_code == 7

    run(test)


def test_in_the_hosts_pid_namespace_nothing_outlives_init(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start(
                "sh", "-c", "(sleep 1000 &) ; sleep 1000 & exit 5", host_namespaces=["pid"]
            )
            assert (await task.exited).exit_code == 5
            await task.released

            assert not bench.cgroup_of(task).exists()

    run(test)


def test_many_tasks_come_and_go_side_by_side(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            ends = await asyncio.gather(*(bench.run("sh", "-c", f"exit {n}") for n in range(12)))

            assert [each.exit_code for each in ends] == list(range(12))

    run(test)


def test_ending_a_task_twice_is_no_harm(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            task = await bench.start("sleep", "1000")
            await end(task)
            await task.delete()

            assert task.state == "stopped"

    run(test)
