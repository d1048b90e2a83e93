"""The life of a container on fake tasks: what a real kernel seldom does on demand."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.engine.conftest import Lab, actions, make

from wherry.api.errors import status_of
from wherry.api.types import DeviceRequest, HostConfig, RestartPolicy
from wherry.core.tasks import StartFailed
from wherry.engine.containers.inspect import inspect_container
from wherry.engine.containers.kill import Unkillable, kill_container
from wherry.engine.containers.remove import RemovalFailed, remove_container
from wherry.engine.containers.rename import rename_container
from wherry.engine.containers.start import start_container
from wherry.engine.containers.stop import stop_container
from wherry.engine.containers.wait import wait_container
from wherry.engine.engine import Engine
from wherry.errors import (
    AlreadyExists,
    Conflict,
    InvalidArgument,
    NotFound,
    NotModified,
    Unavailable,
    Unsupported,
    WherryError,
)


async def settled(engine: Engine, name: str, status: str) -> None:
    async with asyncio.timeout(5):
        while engine.containers.find(name).record.state.status != status:
            await asyncio.sleep(0.001)


def auto_removed() -> HostConfig:
    return HostConfig(auto_remove=True, network_mode="none")


def restarted(name: str, count: int = 0) -> HostConfig:
    return HostConfig(restart_policy=RestartPolicy(name=name, maximum_retry_count=count), network_mode="none")


class TestCreate:
    def test_a_name_in_use_is_refused_with_its_owner(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                first = await make(engine)

                with pytest.raises(AlreadyExists) as failure:
                    await make(engine)

                assert str(failure.value) == (
                    f'Conflict. The container name "/box" is already in use by container "{first}". '
                    "You have to remove (or rename) that container to be able to reuse that name."
                )
                assert len(list(engine.containers_root.iterdir())) == 1

        asyncio.run(scenario())

    def test_one_of_two_creates_of_a_name_wins(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                results = await asyncio.gather(make(engine), make(engine), return_exceptions=True)

                assert sorted(type(result) is str for result in results) == [False, True]

        asyncio.run(scenario())

    def test_a_failed_create_leaves_nothing(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                (engine.volumes.root / "data").write_text("in the way")
                host = HostConfig(binds=["data:/d"], network_mode="none")

                with pytest.raises(WherryError, match=r"^failed to create container: file exists$"):
                    await make(engine, host=host, volumes={"/v": {}})

                assert not list(engine.containers_root.iterdir())
                assert not engine.containers.has_name("box")
                assert [entry.name for entry in engine.volumes.root.iterdir()] == ["data"]
                assert not engine.volumes.claims
                await make(engine)

        asyncio.run(scenario())

    def test_what_an_image_may_say(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, env=["MINE=1"])

                config = (await inspect_container(engine, "box"))["Config"]

                assert config["Cmd"] == ["sh"]
                assert config["Env"] == ["FROM=image", "MINE=1"]
                assert config["Labels"] == {"kind": "test"}  # labels of other tools' objects are not taken

        asyncio.run(scenario())


class TestFailedStarts:
    def test_devices_that_no_driver_serves_are_refused(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                gpus = DeviceRequest(count=-1, capabilities=[["gpu"]])
                await make(engine, host=HostConfig(network_mode="none", device_requests=[gpus]))

                with pytest.raises(WherryError) as failure:
                    await start_container(engine, "box")

                text = 'could not select device driver "" with capabilities: [[gpu]]'
                assert (str(failure.value), status_of(failure.value)) == (text, 500)
                state = (await inspect_container(engine, "box"))["State"]
                assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", 128, text)

        asyncio.run(scenario())

    def test_a_start_from_a_checkpoint_is_refused(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)

                with pytest.raises(Unsupported, match="cannot start from checkpoint 'c1'"):
                    await start_container(engine, "box", checkpoint="c1")

                assert not lab.tasks.tasks

        asyncio.run(scenario())

    def test_the_cause_is_kept_and_the_task_undone(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                cause = 'exec: "x": executable file not found in $PATH'
                lab.tasks.failures["start"] = StartFailed(cause, exit_code=127)

                with pytest.raises(InvalidArgument, match=r"^failed to create task for container: "):
                    await start_container(engine, "box")

                state = engine.containers.find("box").record.state
                assert (state.status, state.exit_code) == ("created", 127)
                assert state.error.endswith(cause)
                assert not lab.tasks.tasks
                assert actions(engine) == ["create"]

        asyncio.run(scenario())

    def test_an_auto_removed_container_goes_with_its_exit_code(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=auto_removed())
                waiter = await wait_container(engine, "box", condition="removed")
                lab.tasks.failures["create"] = StartFailed("x: permission denied", exit_code=126)

                with pytest.raises(InvalidArgument):
                    await start_container(engine, "box")

                assert (await waiter)["StatusCode"] == 126
                assert not list(engine.containers)

        asyncio.run(scenario())

    def test_a_spawner_that_is_gone_is_no_fault_of_the_request(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                lab.tasks.failures["create"] = Unavailable("the spawner is gone")

                with pytest.raises(Unavailable):
                    await start_container(engine, "box")

                assert engine.containers.find("box").record.state.exit_code == 128

        asyncio.run(scenario())

    def test_an_unknown_network_fails_the_start_and_not_the_create(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=HostConfig(network_mode="nope"))

                with pytest.raises(WherryError) as failure:
                    await start_container(engine, "box")

                assert str(failure.value) == "failed to set up container networking: network nope not found"
                assert not isinstance(failure.value, NotFound)

        asyncio.run(scenario())


class TestEnds:
    def test_an_out_of_memory_kill_is_told(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                await start_container(engine, "box")

                lab.task(engine).exit(137, oom=True)

                await settled(engine, "box", "exited")
                await engine.containers.find("box").exit_handled.wait()
                assert actions(engine) == ["create", "start", "oom", "die"]
                assert (await inspect_container(engine, "box"))["State"]["OOMKilled"]

        asyncio.run(scenario())

    def test_a_stop_without_end_is_told(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                await start_container(engine, "box")
                monkeypatch.setattr("wherry.engine.containers.kill.KILL_TIMEOUT_S", 0.01)
                task = lab.task(engine)

                async def ignore(signal: int, **_: object) -> None:
                    task.signals.append(signal)

                task.kill = ignore  # type: ignore[method-assign]
                with pytest.raises(Unkillable):
                    await kill_container(engine, "box")

                assert engine.containers.find("box").record.running

        asyncio.run(scenario())

    def test_stop_asks_first_and_a_stopped_one_is_not_modified(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, stop_signal="SIGUSR1")
                await start_container(engine, "box")
                task = lab.task(engine)
                task.ends_on = {10}

                await stop_container(engine, "box")

                assert task.signals == [10]
                with pytest.raises(NotModified):
                    await stop_container(engine, "box")

        asyncio.run(scenario())


class TestRestartPolicies:
    @pytest.mark.parametrize(
        ("host", "code", "status"),
        [
            (restarted("no"), 1, "exited"),
            (restarted("on-failure"), 0, "exited"),
            (restarted("on-failure"), 1, "restarting"),
            (restarted("always"), 0, "restarting"),
            (restarted("unless-stopped"), 0, "restarting"),
        ],
    )
    def test_what_each_does(self, lab: Lab, host: HostConfig, code: int, status: str) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=host)
                await start_container(engine, "box")

                lab.task(engine).exit(code)

                await settled(engine, "box", status)

        asyncio.run(scenario())

    def test_the_delay_doubles_and_a_good_run_resets_it(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=restarted("always"))
                container = engine.containers.find("box")
                await start_container(engine, "box")
                delays = []
                for ran_ns in (1, 1, 11_000_000_000):
                    lab.task(engine).exit(0, after_ns=ran_ns)
                    await settled(engine, "box", "restarting")
                    delays.append(container.restart_delay_s)
                    await settled(engine, "box", "running")

                assert delays == [0.1, 0.2, 0.1]
                assert container.record.state.restart_count == 3

        asyncio.run(scenario())

    def test_a_kill_with_the_stop_signal_ends_it(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=restarted("always"))
                await start_container(engine, "box")

                await kill_container(engine, "box")

                await asyncio.sleep(0.15)
                assert engine.containers.find("box").record.state.status == "exited"

        asyncio.run(scenario())

    def test_waiters_wait_through_restarts(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=restarted("on-failure", 1))
                await start_container(engine, "box")
                waiter = asyncio.ensure_future(await wait_container(engine, "box"))
                lab.task(engine).exit(1)
                await settled(engine, "box", "restarting")
                await settled(engine, "box", "running")
                assert not waiter.done()

                lab.task(engine).exit(5)

                assert (await waiter)["StatusCode"] == 5

        asyncio.run(scenario())


class TestRemoval:
    def test_a_second_removal_is_refused(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                first = asyncio.ensure_future(remove_container(engine, "box"))
                await asyncio.sleep(0)

                with pytest.raises(Conflict, match=r"^removal of container box is already in progress$"):
                    await remove_container(engine, "box")

                await first

        asyncio.run(scenario())

    def test_a_running_container_needs_force(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                await start_container(engine, "box")

                with pytest.raises(Conflict) as failure:
                    await remove_container(engine, "box")

                assert str(failure.value) == (
                    'cannot remove container "box": container is running: '
                    "stop the container before removing or force remove"
                )
                await remove_container(engine, "box", force=True)
                assert actions(engine) == ["create", "start", "kill", "die", "destroy"]

        asyncio.run(scenario())

    def test_a_disk_that_refuses_leaves_it_dead_and_a_second_try_removes_it(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                waiter = await wait_container(engine, "box", condition="removed")

                def refuse(_key: str) -> bool:
                    raise OSError(5, "Input/output error")

                monkeypatch.setattr(engine.snapshots, "remove", refuse)
                with pytest.raises(RemovalFailed, match="driver failed to remove root filesystem"):
                    await remove_container(engine, "box")
                assert "Input/output error" in (await waiter)["Error"]["Message"]
                assert (await inspect_container(engine, "box"))["State"]["Status"] == "dead"

                monkeypatch.undo()
                await remove_container(engine, "box")

                assert not list(engine.containers)

        asyncio.run(scenario())


class TestNames:
    def test_renaming(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                await make(engine, name="other")
                with pytest.raises(AlreadyExists, match=r"^Error when allocating new name: Conflict"):
                    await rename_container(engine, "box", "other")
                with pytest.raises(InvalidArgument, match=r"same name as its current name"):
                    await rename_container(engine, "box", "/box")

                await rename_container(engine, "box", "new")

                with pytest.raises(NotFound, match=r"^No such container: box$"):
                    engine.containers.find("box")
                assert engine.events.past(since_ns=0, until_ns=None, filters={"event": ["rename"]})[0][
                    "Actor"
                ]["Attributes"] == {"image": "small", "name": "new", "oldName": "/box", "kind": "test"}

            async with lab.engine() as engine:
                assert engine.containers.find("new")

        asyncio.run(scenario())

    def test_prefixes_of_ids(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                container_id = await make(engine)
                assert engine.containers.find(container_id[:4]).id == container_id
                assert engine.containers.find("/box").id == container_id
                with pytest.raises(InvalidArgument, match=r'^invalid name or ID supplied: ""$'):
                    engine.containers.find("")

        asyncio.run(scenario())
