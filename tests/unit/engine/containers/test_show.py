"""Listing and inspecting containers: filters, texts, and shapes by API version."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.unit.engine.conftest import Lab, make

from wherry.api.types import EndpointSettings, HostConfig, NetworkingConfig
from wherry.engine.containers.inspect import inspect_container
from wherry.engine.containers.list import list_containers
from wherry.engine.containers.prune import prune_containers
from wherry.engine.containers.start import start_container
from wherry.engine.containers.status import status_text
from wherry.engine.engine import Engine
from wherry.engine.times import SECOND_NS
from wherry.errors import Conflict, InvalidArgument, NotFound

MINUTE_NS = 60 * SECOND_NS


async def names(engine: Engine, **options: Any) -> list[str]:
    filters = {key.replace("_", "-"): value for key, value in options.pop("filters", {}).items()}
    return [c["Names"][0] for c in await list_containers(engine, filters=filters, **options)]


async def fill(engine: Engine, lab: Lab) -> None:
    await make(engine, name="first", labels={"a": "1"}, exposed_ports={"80/tcp": {}})
    await make(engine, name="second", host=HostConfig(binds=["data:/d"], network_mode="host"))
    await make(engine, name="third")
    await start_container(engine, "second")
    await start_container(engine, "third")
    lab.task(engine, "third").exit(3)
    await engine.containers.find("third").exit_handled.wait()


class TestList:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, ["/second"]),
            ({"all": True}, ["/third", "/second", "/first"]),
            ({"limit": 2}, ["/third", "/second"]),
            ({"filters": {"status": ["created", "exited"]}}, ["/third", "/first"]),
            ({"filters": {"exited": ["3"]}}, ["/third"]),
            ({"all": True, "filters": {"exited": ["0"]}}, []),
            ({"all": True, "filters": {"name": ["^/f", "cond"]}}, ["/second", "/first"]),
            ({"all": True, "filters": {"label": ["a", "a=1"]}}, ["/first"]),
            ({"all": True, "filters": {"label": ["a=2"]}}, []),
            ({"all": True, "filters": {"volume": ["data"]}}, ["/second"]),
            ({"all": True, "filters": {"volume": ["/d"]}}, ["/second"]),
            ({"all": True, "filters": {"network": ["host"]}}, ["/second"]),
            ({"all": True, "filters": {"expose": ["80"]}}, ["/first"]),
            ({"all": True, "filters": {"publish": ["80"]}}, []),
            ({"all": True, "filters": {"ancestor": ["small"]}}, ["/third", "/second", "/first"]),
            ({"all": True, "filters": {"ancestor": ["nope"]}}, []),
            ({"filters": {"before": ["second"]}}, ["/first"]),
            ({"filters": {"since": ["second"]}}, ["/third"]),
            ({"all": True, "filters": {"health": ["none"]}}, ["/third", "/second", "/first"]),
            ({"all": True, "filters": {"is-task": ["true"]}}, []),
        ],
    )
    def test_filters(self, lab: Lab, options: dict[str, Any], expected: list[str]) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await fill(engine, lab)
                assert await names(engine, **options) == expected

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("filters", "kind", "text"),
        [
            ({"x": ["y"]}, InvalidArgument, r"^invalid filter 'x'$"),
            ({"status": ["x"]}, InvalidArgument, "^invalid filter 'status=x': "),
            ({"exited": ["x"]}, InvalidArgument, "^invalid filter 'exited=x': "),
            ({"health": ["x"]}, InvalidArgument, "^invalid filter 'health=x': "),
            ({"name": ["("]}, InvalidArgument, "^invalid filter "),
            ({"before": ["x"]}, NotFound, r"^No such container: x$"),
        ],
    )
    def test_refusals(
        self, lab: Lab, filters: dict[str, list[str]], kind: type[Exception], text: str
    ) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                with pytest.raises(kind, match=text):
                    await list_containers(engine, filters=filters)

        asyncio.run(scenario())

    def test_a_summary(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, "sh", "-c", "echo a b")
                [summary] = await list_containers(engine, all=True, size=True)

                assert summary["Command"] == "sh -c 'echo a b'"
                assert (summary["State"], summary["Status"], summary["Ports"]) == ("created", "Created", [])
                assert summary["SizeRootFs"] >= summary["SizeRw"]
                assert msgspec.json.encode(summary)

        asyncio.run(scenario())


class TestStatus:
    @pytest.mark.parametrize(
        ("state", "text"),
        [
            ({"status": "running"}, "Up 5 minutes"),
            ({"status": "paused"}, "Up 5 minutes (Paused)"),
            ({"status": "restarting", "exit_code": 2}, "Restarting (2) 4 minutes ago"),
            ({"status": "exited", "exit_code": 1}, "Exited (1) 4 minutes ago"),
            ({"status": "exited", "finished_at_ns": 0}, ""),
            ({"status": "dead"}, "Dead"),
            ({"status": "removing"}, "Removal In Progress"),
            ({"status": "created"}, "Created"),
        ],
    )
    def test_words(self, lab: Lab, state: dict[str, Any], text: str) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine)
                container = engine.containers.find("box")
                times = {"started_at_ns": MINUTE_NS, "finished_at_ns": 2 * MINUTE_NS} | state
                new = msgspec.structs.replace(container.record.state, **times)
                container.record = msgspec.structs.replace(container.record, state=new)

                assert status_text(container, now_ns=6 * MINUTE_NS) == text

        asyncio.run(scenario())


class TestInspect:
    def test_shapes_by_version(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=HostConfig())
                new = await inspect_container(engine, "box", version=(1, 56))
                old = await inspect_container(engine, "box", version=(1, 43))

                assert "ImageManifestDescriptor" in new
                assert "ImageManifestDescriptor" not in old
                assert "IPAddress" not in new["NetworkSettings"]
                assert old["NetworkSettings"]["IPAddress"] == ""
                assert "DNSNames" in new["NetworkSettings"]["Networks"]["bridge"]
                assert "DNSNames" not in old["NetworkSettings"]["Networks"]["bridge"]
                assert msgspec.json.encode(new)

        asyncio.run(scenario())

    def test_nothing_is_claimed_that_is_not_there(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                default = NetworkingConfig(
                    endpoints_config={"default": EndpointSettings(driver_opts={"a": "b"})}
                )
                await make(engine, host=HostConfig(), networking_config=default, healthcheck=None)
                shown = await inspect_container(engine, "box")

                network = shown["NetworkSettings"]["Networks"]["bridge"]
                assert (network["IPAddress"], network["Gateway"], network["EndpointID"]) == ("", "", "")
                assert network["DriverOpts"] == {"a": "b"}
                assert shown["NetworkSettings"]["SandboxKey"] == ""
                assert "Health" not in shown["State"]
                assert shown["HostConfig"]["NetworkMode"] == "bridge"

        asyncio.run(scenario())

    def test_defaults_are_shown(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await make(engine, host=HostConfig(memory=64 << 20))
                host_config = (await inspect_container(engine, "box"))["HostConfig"]

                assert host_config["MemorySwap"] == 128 << 20
                assert host_config["ShmSize"] == 64 << 20
                assert (host_config["IpcMode"], host_config["RestartPolicy"]["Name"]) == ("private", "no")
                assert "/proc/kcore" in host_config["MaskedPaths"]
                assert host_config["LogConfig"]["Type"] == "json-file"
                assert host_config["Binds"] is None

        asyncio.run(scenario())


class TestPrune:
    def test_only_what_does_not_run_and_fits(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                await fill(engine, lab)
                first = engine.containers.find("first").id

                assert (await prune_containers(engine, {"label": ["a"]}))["ContainersDeleted"] == [first]
                assert (await prune_containers(engine, {"until": ["1h"]}))["ContainersDeleted"] == []
                await prune_containers(engine, {})
                assert await names(engine, all=True) == ["/second"]

        asyncio.run(scenario())

    def test_one_at_a_time(self, lab: Lab) -> None:
        async def scenario() -> None:
            async with lab.engine() as engine:
                engine.pruning.add("containers")
                with pytest.raises(Conflict, match=r"^a prune operation is already running$"):
                    await prune_containers(engine, {})

        asyncio.run(scenario())
