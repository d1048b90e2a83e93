"""Containers for real: created, started, watched and removed by the engine."""

from __future__ import annotations

import asyncio

from tests.integration.engine.conftest import Roots
from wherry.api.types import ContainerCreateRequest, HostConfig
from wherry.engine.containers.create import create_container
from wherry.engine.containers.inspect import inspect_container
from wherry.engine.containers.logs import container_logs
from wherry.engine.containers.start import start_container
from wherry.engine.containers.wait import wait_container


def run(coroutine):
    return asyncio.run(coroutine)


class TestRun:
    def test_a_program_runs_and_its_exit_code_is_told(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                body = ContainerCreateRequest(image="busybox", cmd=["sh", "-c", "echo hi; exit 3"])
                created = await create_container(engine, body, name="one")
                waiter = await wait_container(engine, "one", condition="next-exit")

                await start_container(engine, "one")

                assert (await waiter)["StatusCode"] == 3
                shown = await inspect_container(engine, created["Id"])
                assert shown["State"]["Status"] == "exited"
                logs = await container_logs(engine, "one")
                assert b"".join([piece async for piece in logs.chunks])[8:] == b"hi\n"

        run(scenario())
