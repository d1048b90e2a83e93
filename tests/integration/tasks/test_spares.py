"""A start uses what was made ahead where it can, and does without where it cannot."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from tests.integration.tasks.bench import SPARE_READY_S, Bench, run

from wherry.linux import cgroupfs
from wherry.linux.process import children

pytestmark = pytest.mark.skipif(cgroupfs.layout().version == 2, reason="needs cgroup v1: no init ahead on v2")


def namespace(pid: int, kind: str) -> int:
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


def spare_of(bench: Bench) -> tuple[int, int, int]:
    """The spare shim, its helper and the spare init; spares are the youngest of each."""
    shim = max(children(bench.service.spawner_pid))
    (helper,) = children(shim)
    (init,) = children(helper)
    return shim, helper, init


async def gone(*pids: int) -> bool:
    """Whether all of the processes end soon."""
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        await asyncio.sleep(0.02)
    return False


async def learn(bench: Bench, **options: Any) -> None:
    """Run a container, and wait for the spare that its like will find."""
    task = await bench.create("/bin/true", **options)
    await task.start()
    await task.exited
    await task.delete()
    await asyncio.sleep(2 * SPARE_READY_S)


def test_a_usual_container_begins_in_the_spare_init(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await learn(bench)
            _, _, init = spare_of(bench)

            task = await bench.create("/bin/true")

            assert task.pid == init
            await task.start()
            assert (await task.exited).exit_code == 0

    run(test)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["shim", "helper", "init"])
def test_a_spare_that_was_killed_is_done_without_or_fails_one_start_cleanly(bench: Bench, which: int) -> None:
    async def test() -> None:
        async with bench:
            await learn(bench)
            os.kill(spare_of(bench)[which], 9)
            await asyncio.sleep(SPARE_READY_S)

            if which == 1:  # its helper is a part of the shim
                with pytest.raises(Exception, match="died"):
                    await bench.create("/bin/true")
            task = await bench.create("/bin/true")
            await task.start()

            assert (await task.exited).exit_code == 0

    run(test)


def test_a_spare_init_ends_with_the_spawner(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            spares = spare_of(bench)

        assert await gone(*spares)

    run(test)


def test_a_container_that_shares_a_namespace_does_without_the_spare_and_it_ends(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await learn(bench)
            _, _, init = spare_of(bench)

            task = await bench.create("/bin/sleep", "60", host_namespaces=["network"])

            assert task.pid != init
            assert await gone(init)
            assert namespace(task.pid, "net") == namespace(os.getpid(), "net")

    run(test)


def test_the_spare_has_the_namespaces_that_the_last_container_asked_for(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await learn(bench, host_namespaces=["network"])
            _, _, init = spare_of(bench)

            task = await bench.create("/bin/sleep", "60", host_namespaces=["network"])

            assert task.pid == init
            assert namespace(task.pid, "net") == namespace(os.getpid(), "net")

    run(test)


def test_what_the_spare_has_is_new_for_each_container(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await learn(bench)
            first = await bench.create("/bin/sleep", "60")
            await asyncio.sleep(SPARE_READY_S)
            second = await bench.create("/bin/sleep", "60")

            for kind in ("net", "ipc", "uts", "pid", "mnt"):
                found = {namespace(pid, kind) for pid in (os.getpid(), first.pid, second.pid)}
                assert len(found) == 3, kind

    run(test)
