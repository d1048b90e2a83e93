"""Volumes: made once, shown, kept while used, removed with everything in them."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from tests.unit.engine.conftest import Lab, actions, make

from wherry.api.types import HostConfig, VolumeCreateRequest
from wherry.engine.containers.remove import remove_container
from wherry.engine.volumes.create import create_volume
from wherry.engine.volumes.inspect import inspect_volume
from wherry.engine.volumes.list import list_volumes
from wherry.engine.volumes.prune import prune_volumes
from wherry.engine.volumes.remove import remove_volume
from wherry.errors import Conflict, InvalidArgument, NotFound


def test_a_volume_is_made_once(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            first = await create_volume(engine, VolumeCreateRequest(name="data", labels={"a": "b"}))
            again = await create_volume(engine, VolumeCreateRequest(name="data"))

            assert first == again == await inspect_volume(engine, "data")
            assert first["Mountpoint"] == str(engine.volumes.root / "data" / "_data")
            assert actions(engine, "volume") == ["create"]

        async with lab.engine() as engine:
            assert await inspect_volume(engine, "data") == first

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("request_", "kind", "text"),
    [
        (VolumeCreateRequest(name="x"), InvalidArgument, r"^volume name is too short"),
        (VolumeCreateRequest(name="../x"), InvalidArgument,
         'includes invalid characters for a local volume name'),
        (VolumeCreateRequest(name="xx", driver="nfs"), NotFound,
         '^error looking up volume plugin nfs: plugin "nfs" not found$'),
        (VolumeCreateRequest(name="xx", driver_opts={"y": "z"}), InvalidArgument, '^invalid option: "y"$'),
        (VolumeCreateRequest(name="xx", driver_opts={"size": "1"}), InvalidArgument,
         "^quota size requested but no quota support$"),
    ],
)  # fmt: skip
def test_refusals(lab: Lab, request_: VolumeCreateRequest, kind: type[Exception], text: str) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            with pytest.raises(kind, match=text):
                await create_volume(engine, request_)

            assert not list(engine.volumes.root.iterdir())

    asyncio.run(scenario())


def test_one_in_use_is_kept(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            container_id = await make(engine, host=HostConfig(binds=["data:/d"]))

            with pytest.raises(Conflict) as failure:
                await remove_volume(engine, "data")

            assert str(failure.value) == f"remove data: volume is in use - [{container_id}]"
            await remove_container(engine, "box", volumes=True)
            await remove_volume(engine, "data")  # a named one does not go with its container
            assert not list(engine.volumes.root.iterdir())
            assert actions(engine, "volume") == ["create", "destroy"]

    asyncio.run(scenario())


def test_one_that_is_not_there(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            with pytest.raises(NotFound, match=r"^get nope: no such volume$"):
                await remove_volume(engine, "nope")

            await remove_volume(engine, "nope", force=True)

    asyncio.run(scenario())


def test_listing(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            await create_volume(engine, VolumeCreateRequest(name="free", labels={"a": "1"}))
            await make(engine, host=HostConfig(binds=["used:/d"]))

            async def names(**filters: list[str]) -> list[str]:
                return [volume["Name"] for volume in (await list_volumes(engine, filters))["Volumes"]]

            assert await names() == ["free", "used"]
            assert await names(dangling=["true"]) == ["free"]
            assert await names(dangling=["false"]) == ["used"]
            assert await names(label=["a=1"]) == ["free"]
            assert await names(name=["us"]) == ["used"]
            assert await names(driver=["nfs"]) == []
            with pytest.raises(InvalidArgument, match=r"^invalid filter 'x'$"):
                await names(x=["y"])

    asyncio.run(scenario())


def test_pruning_takes_named_ones_only_when_asked(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            anonymous = (await create_volume(engine, VolumeCreateRequest()))["Name"]
            await create_volume(engine, VolumeCreateRequest(name="named"))
            (engine.volumes.data("named") / "file").write_bytes(b"x" * 8192)

            assert (await prune_volumes(engine, {}))["VolumesDeleted"] == [anonymous]
            pruned = await prune_volumes(engine, {"all": ["1"]})

            assert pruned["VolumesDeleted"] == ["named"]
            assert pruned["SpaceReclaimed"] >= 8192

    asyncio.run(scenario())


def test_a_volume_whose_directory_was_removed_by_hand_can_be_pruned(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            created = await create_volume(engine, VolumeCreateRequest())
            shutil.rmtree(engine.volumes.root / created["Name"])

            pruned = await prune_volumes(engine, {})

            assert pruned == {"VolumesDeleted": [created["Name"]], "SpaceReclaimed": 0}

    asyncio.run(scenario())
