"""A daemon's restart: what runs goes on, what ended is caught up with, what was cut short is finished."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import msgspec
import pytest
from tests.integration.engine.conftest import Roots, actions, create, output

from wherry.api.types import ExecConfig, ExecStartRequest, HostConfig, RestartPolicy
from wherry.engine.containers.inspect import inspect_container
from wherry.engine.containers.start import start_container
from wherry.engine.containers.stop import stop_container
from wherry.engine.containers.wait import wait_container
from wherry.engine.engine import Engine
from wherry.engine.exec.create import create_exec
from wherry.engine.exec.inspect import inspect_exec
from wherry.engine.exec.record import write_exec
from wherry.engine.exec.start import start_exec
from wherry.errors import NotFound
from wherry.linux import mount


async def state(engine: Engine, name: str = "box") -> dict[str, object]:
    shown: dict[str, object] = (await inspect_container(engine, name))["State"]
    return shown


class TestRestart:
    def test_a_container_runs_on_with_its_log(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sh", "-c", "echo a; sleep 1; echo b; exec sleep 60")
                await start_container(engine, "box")
                pid = (await state(engine))["Pid"]

            async with roots.engine() as engine:
                assert (await state(engine))["Pid"] == pid
                await asyncio.sleep(1.2)
                assert await output(engine, "box") == "a\nb\n"
                waiter = await wait_container(engine, "box", condition="next-exit")
                await stop_container(engine, "box", timeout_s=0)
                assert (await waiter)["StatusCode"] == 137

        asyncio.run(scenario())

    def test_an_exit_meanwhile_is_told_afterwards(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sh", "-c", "sleep 0.3; exit 6")
                await start_container(engine, "box")
            await asyncio.sleep(0.8)

            async with roots.engine() as engine:
                shown = await state(engine)
                assert (shown["Status"], shown["ExitCode"]) == ("exited", 6)
                assert actions(engine) == ["die"]

        asyncio.run(scenario())

    def test_an_auto_removed_container_goes_afterwards(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "0.3", host=HostConfig(auto_remove=True), volumes={"/v": {}})
                await start_container(engine, "box")
            await asyncio.sleep(0.8)

            async with roots.engine() as engine:
                assert not list(engine.containers)
                assert not list(engine.volumes.root.iterdir())
                assert actions(engine) == ["die", "destroy"]

        asyncio.run(scenario())

    def test_a_restart_policy_is_followed_afterwards(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                policy = RestartPolicy(name="unless-stopped")
                await create(engine, "sleep", "0.4", host=HostConfig(restart_policy=policy))
                await start_container(engine, "box")
            await asyncio.sleep(0.8)

            async with roots.engine() as engine:
                async with asyncio.timeout(10):
                    while (await state(engine))["Status"] != "running":
                        await asyncio.sleep(0.02)

        asyncio.run(scenario())

    def test_a_lost_task_is_told_as_such(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                await start_container(engine, "box")
                record = engine.containers.find("box").record
                await stop_container(engine, "box", timeout_s=0)
                # As after a power cut: the record says running, and there is no task.
                await engine.containers.save(engine.containers.find("box"), record)

            async with roots.engine() as engine:
                shown = await state(engine)
                assert (shown["Status"], shown["ExitCode"], shown["Pid"]) == ("exited", 255, 0)

        asyncio.run(scenario())

    def test_an_execs_exit_code_arrives_afterwards(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                await start_container(engine, "box")
                exec_id = (
                    await create_exec(engine, "box", ExecConfig(cmd=["sh", "-c", "sleep 0.3; exit 11"]))
                )["Id"]
                await start_exec(engine, exec_id, ExecStartRequest(detach=True))
            await asyncio.sleep(0.8)

            async with roots.engine() as engine:
                await asyncio.sleep(0.1)
                shown = await inspect_exec(engine, exec_id)
                assert (shown["Running"], shown["ExitCode"]) == (False, 11)

        asyncio.run(scenario())

    def test_a_running_exec_is_known_and_one_that_never_started_is_not(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                await start_container(engine, "box")
                running = (await create_exec(engine, "box", ExecConfig(cmd=["sleep", "60"])))["Id"]
                await start_exec(engine, running, ExecStartRequest(detach=True))
                pid = (await inspect_exec(engine, running))["Pid"]
                prepared = (await create_exec(engine, "box", ExecConfig(cmd=["true"])))["Id"]
                container = engine.containers.find("box")
                write_exec(engine, container.id, container.execs[prepared].record)
                assert container.task is not None
                process = {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
                await container.task.create_exec(prepared, process)

            async with roots.engine() as engine:
                shown = await inspect_exec(engine, running)
                assert (shown["Running"], shown["Pid"]) == (True, pid)
                with pytest.raises(NotFound):
                    await inspect_exec(engine, prepared)

        asyncio.run(scenario())

    def test_nothing_is_kept_of_an_exec_that_never_started(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                await start_container(engine, "box")
                prepared = (await create_exec(engine, "box", ExecConfig(cmd=["true"])))["Id"]
                container = engine.containers.find("box")
                write_exec(engine, container.id, container.execs[prepared].record)

            async with roots.engine() as engine:
                assert not list(engine.exec_records_root.iterdir())

        asyncio.run(scenario())


class TestCutShort:
    def test_a_create_without_a_record_is_undone(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                container_id = await create(engine, "true", volumes={"/v": {}})
                await engine.metadata.awrite(
                    lambda connection: connection.execute("DELETE FROM engine_containers")
                )
                await engine.metadata.awrite(
                    lambda connection: connection.execute("DELETE FROM engine_volumes")
                )

            async with roots.engine() as engine:
                assert not list(engine.containers_root.iterdir())
                assert not list(engine.volumes.root.iterdir())
                assert not engine.snapshots.exists(container_id)

        asyncio.run(scenario())

    def test_a_snapshots_directory_without_a_record_is_removed(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                kept = engine.snapshots.upper(await create(engine, "true"))
                orphan = kept.parent.parent / "999999"
                (orphan / "fs/deep").mkdir(parents=True)

            async with roots.engine():
                assert not orphan.exists()
                assert kept.exists()

        asyncio.run(scenario())

    def test_what_cannot_be_undone_keeps_nobody_from_the_rest(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "true")
                (engine.containers_root / "stray").mkdir()
                (engine.volumes.root / "stray").mkdir()
                held = [engine.containers_root / "stray", engine.volumes.root / "stray"]

            for path in held:
                mount.mount("tmpfs", str(path), "tmpfs")  # a mount point cannot be removed
            try:
                async with roots.engine() as engine:
                    assert (await state(engine))["Status"] == "created"
            finally:
                for path in held:
                    mount.umount(str(path))

        asyncio.run(scenario())

    def test_a_recorded_removal_is_finished(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "true")
                container = engine.containers.find("box")
                removing = msgspec.structs.replace(container.record.state, status="removing")
                await engine.containers.save(
                    container, msgspec.structs.replace(container.record, state=removing)
                )

            async with roots.engine() as engine:
                assert not list(engine.containers)
                assert not list(engine.containers_root.iterdir())

        asyncio.run(scenario())

    def test_a_start_whose_record_was_not_written_is_taken_over(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                created = engine.containers.find("box").record
                await start_container(engine, "box")
                await engine.containers.save(engine.containers.find("box"), created)

            async with roots.engine() as engine:
                assert (await state(engine))["Status"] == "running"
                assert actions(engine) == ["start"]

        asyncio.run(scenario())

    def test_a_killed_shim_ends_its_container(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "sleep", "60")
                waiter = await wait_container(engine, "box", condition="next-exit")
                await start_container(engine, "box")
                (record,) = (roots.exec / "tasks").glob("*/*/record.json")

                os.kill(json.loads(record.read_bytes())["shim_pid"], signal.SIGKILL)

                async with asyncio.timeout(15):
                    assert (await waiter)["StatusCode"] == 137

        asyncio.run(scenario())
