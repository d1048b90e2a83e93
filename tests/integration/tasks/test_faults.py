"""A SIGKILL at each named point of spawner, shim and runtime: a clear end, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from tests.integration.faults.points import reachable_points
from tests.integration.tasks.bench import Bench, end, is_running, run

from wherry.core.tasks import SHIM_LOST
from wherry.errors import WherryError

pytestmark = pytest.mark.faults

AREAS = ("shim.", "spawner.", "create.", "start.", "init.", "exec.cloned", "exec.joining", "cgroup.")
# Points of what no scenario here does: operations, freezing, and what only a lost shim brings about.
POINTS = [point for point in reachable_points() if point.startswith(AREAS)]
PROCESS: dict[str, Any] = {"args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}


async def scenario(bench: Bench, task_id: str) -> int:
    """Create, start, exec, pause, resume, exit, delete: the exit code, in the end."""
    task = await bench.create("sh", "-c", "read x; exit 6", task_id=task_id, stdin=True, log=True)
    client = bench.client()
    await client.attach(task, stdin=True)
    await task.start()
    await task.create_exec("e", PROCESS)
    await task.start_exec("e")
    await task.exec_exited("e")
    await task.pause()
    await task.resume()
    await client.send(b"\n")
    ended = await task.exited
    await task.delete()
    return ended.exit_code


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    once = bench.path / "once"
    once.touch()
    monkeypatch.setenv("WHERRY_FAULT", f"{point}@{once}")

    async def test() -> None:
        async with bench:
            pids: set[int] = set()
            try:
                async with asyncio.timeout(20):
                    code = await scenario(bench, "hit")
                assert code in (6, 137)
            except WherryError:
                pass  # told, in one way or another
            for task in bench.service.list():
                pids.add(task.pid)
                await end(task)
                assert (await task.exited).exit_code in (6, 128, 137), (await task.exited).error

            assert await scenario(bench, "next") == 6  # the same id space, cgroups and spawner serve on
            assert not [pid for pid in pids if pid and is_running(pid)]
            assert list((bench.exec_root / "tasks").glob("*/[!.]*")) == []

    run(test)


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith(("shim.", "spawner."))])
def test_a_kill_that_nobody_saw_is_cleaned_up_by_the_next_daemon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    once = bench.path / "once"
    once.touch()
    monkeypatch.setenv("WHERRY_FAULT", f"{point}@{once}")

    async def test() -> None:
        async with bench:
            running = asyncio.ensure_future(scenario(bench, "hit"))
            while once.exists() and not running.done():
                await asyncio.sleep(0.001)
            await bench.service.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

            tasks = await bench.restart()

            for task in tasks:
                await end(task)
                ended = await task.exited
                assert ended.exit_code in (6, 128, 137)
                assert ended.error in ("", SHIM_LOST) or "died" in ended.error
            assert list((bench.exec_root / "tasks").glob("*/[!.]*")) == []
            assert await scenario(bench, "next") == 6

    run(test)


def test_a_bundle_on_a_full_disk_is_a_failed_create(bench: Bench, tmp_path: Path) -> None:
    async def test() -> None:
        async with bench:
            os.chmod(bench.exec_root, 0o700)
            (bench.exec_root / "tasks" / "test").write_text("in the way")

            with pytest.raises((WherryError, OSError)):
                await bench.create("true")

            (bench.exec_root / "tasks" / "test").unlink()
            assert (await bench.run("sh", "-c", "exit 2")).exit_code == 2

    run(test)
