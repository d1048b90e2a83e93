"""Many at once, and identities that stay what they are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.integration.engine.conftest import Roots, create, output, run

from wherry.api.types import HostConfig
from wherry.diagnostics import faults
from wherry.engine.containers.restart import restart_container
from wherry.engine.containers.start import start_container
from wherry.engine.containers.wait import wait_container
from wherry.engine.engine import Engine
from wherry.errors import InvalidArgument


async def one(engine: Engine, number: int) -> int:
    """Run one auto-removed container with an environment of its own."""
    await create(
        engine, "sh", "-c", "exit $CODE", name=f"box-{number}", env=[f"CODE={number}"],
        host=HostConfig(auto_remove=True, network_mode="none"),
    )  # fmt: skip
    waiter = await wait_container(engine, f"box-{number}", condition="removed")
    await start_container(engine, f"box-{number}")
    return int((await waiter)["StatusCode"])


def test_a_crowd_of_containers_does_not_mix(roots: Roots) -> None:
    async def scenario() -> None:
        async with roots.engine() as engine, asyncio.timeout(60):
            codes = await asyncio.gather(*(one(engine, number) for number in range(24)))

            assert codes == list(range(24))
            assert not list(engine.containers)
            assert not list(engine.containers_root.iterdir())
            assert not engine.tasks.list()

    asyncio.run(scenario())


def test_restarting_again_and_again_keeps_the_files(roots: Roots) -> None:
    async def scenario() -> None:
        async with roots.engine() as engine, asyncio.timeout(60):
            await create(engine, "sh", "-c", "echo x >> /count; wc -l < /count; exec sleep 60")
            await start_container(engine, "box")
            for _ in range(8):
                await restart_container(engine, "box", timeout_s=0)
            while not (numbers := [int(line) for line in (await output(engine, "box")).split()]):
                await asyncio.sleep(0.1)

            # A restart may end a run between its two commands: a number may be missing, none comes twice.
            assert numbers == sorted(set(numbers))
            assert numbers[-1] <= 9

    asyncio.run(scenario())


def test_an_exit_that_a_full_disk_refused_is_recorded_later(roots: Roots, tmp_path: Path) -> None:
    async def scenario() -> None:
        trigger = tmp_path / "once"
        trigger.touch()
        async with roots.engine() as engine, asyncio.timeout(30):
            await create(engine, "sh", "-c", "exit 7")
            waiter = await wait_container(engine, "box", condition="next-exit")
            faults.arm(f"exit.seen=ENOSPC@{trigger}")
            try:
                await start_container(engine, "box")

                assert (await waiter)["StatusCode"] == 7
            finally:
                faults.arm("")
            assert not trigger.exists()

    asyncio.run(scenario())


@pytest.mark.parametrize("user", ["2147483648", "4294967296", "-1", "0:4294967297"])
def test_a_number_out_of_range_never_runs_as_root(roots: Roots, user: str) -> None:
    async def scenario() -> None:
        async with roots.engine() as engine:
            await create(engine, "id", user=user)

            with pytest.raises(InvalidArgument, match="uids and gids must be in range 0-2147483647"):
                await start_container(engine, "box")

    asyncio.run(scenario())


def test_the_user_is_looked_up_anew_at_each_start(roots: Roots) -> None:
    async def scenario() -> None:
        async with roots.engine() as engine:
            await run(engine, "id", "-u", user="bob")
            for _ in range(2):
                waiter = await wait_container(engine, "box", condition="next-exit")
                await start_container(engine, "box")
                await waiter

            assert await output(engine, "box") == "1000\n1000\n1000\n"

    asyncio.run(scenario())


def test_masked_and_read_only_paths(roots: Roots) -> None:
    async def scenario() -> None:
        async with roots.engine() as engine:
            script = (
                "wc -c < /proc/interrupts; wc -c < /proc/timer_list; ls /sys/firmware | wc -l; "
                "touch /proc/sys/x 2>/dev/null || echo ro; mkdir /sys/fs/cgroup/x 2>/dev/null || echo ro"
            )
            assert await run(engine, "sh", "-c", script) == (0, "0\n0\n0\nro\nro\n")

    asyncio.run(scenario())
