"""An engine on real stores and fake tasks, with one small image; needs no root."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.tasks import FakeTask, FakeTasks

from wherry.api.types import ContainerCreateRequest, HostConfig
from wherry.core.content.local import LocalContent
from wherry.core.images import ImageStore
from wherry.core.leases import Leases
from wherry.core.metadata import Metadata
from wherry.core.snapshots.native import NativeSnapshots
from wherry.core.threads import Threads
from wherry.core.transfer import TransferServices
from wherry.engine.containers.create import create_container
from wherry.engine.engine import Engine, EngineConfig
from wherry.engine.images.import_ import import_image

CHANGES = ['CMD ["sh"]', "ENV FROM=image", "LABEL kind=test com.docker.compose.project=forged"]


def small_tar() -> bytes:
    """A root file system of one file, owned by whoever runs the tests."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size, entry.uid, entry.gid = 3, os.getuid(), os.getgid()
        archive.addfile(entry, io.BytesIO(b"hi\n"))
    return output.getvalue()


class Lab:
    """The roots of an engine that can be opened again, as after a restart."""

    def __init__(self, base: Path) -> None:
        self.data, self.exec = base / "data", base / "exec"
        self.data.mkdir()
        self.exec.mkdir()
        self.tasks = FakeTasks()

    @asynccontextmanager
    async def engine(self, **settings: Any) -> AsyncIterator[Engine]:
        threads = Threads(kernel=1, disk=2, transfer=1)
        metadata = Metadata(self.data / "metadata.db")
        content = LocalContent(self.data / "content", metadata)
        snapshots = NativeSnapshots(self.data / "snapshots", metadata)
        images, leases = ImageStore(metadata), Leases(metadata)
        services = TransferServices(
            content=content, snapshots=snapshots, images=images, leases=leases, threads=threads,
            metadata=metadata,
        )  # fmt: skip
        engine = Engine(
            config=EngineConfig(data_root=self.data, exec_root=self.exec, **settings),
            metadata=metadata,
            content=content,
            snapshots=snapshots,
            images=images,
            leases=leases,
            threads=threads,
            tasks=self.tasks,  # type: ignore[arg-type]
            transfer=services,
        )
        await engine.open()
        await engine.restore()
        try:
            yield engine
        finally:
            await engine.close()
            metadata.close()
            threads.close()

    def task(self, name_of: Engine, name: str = "box") -> FakeTask:
        """The task of a container."""
        return self.tasks.tasks[name_of.containers.find(name).id]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the small image, to be copied for each test."""
    base = tmp_path_factory.mktemp("seed")

    async def seed() -> None:
        async with Lab(base).engine() as engine:
            records = import_image(engine, io.BytesIO(small_tar()), repository="small", changes=CHANGES)
            _ = [record async for record in records]

    asyncio.run(seed())
    return base / "data"


@pytest.fixture
def lab(tmp_path: Path, seeded: Path) -> Lab:
    lab = Lab(tmp_path)
    shutil.copytree(seeded, lab.data, symlinks=True, dirs_exist_ok=True)
    return lab


async def make(
    engine: Engine, *cmd: str, name: str = "box", host: HostConfig | None = None, **config: Any
) -> str:
    """A container of the small image; its id."""
    body = ContainerCreateRequest(
        image="small", cmd=list(cmd) or None, host_config=host or HostConfig(network_mode="none"), **config
    )
    created = await create_container(engine, body, name=name)
    return str(created["Id"])


def actions(engine: Engine, kind: str = "container") -> list[str]:
    """The actions of all events of a kind so far."""
    events = engine.events.past(since_ns=0, until_ns=None, filters={"type": [kind]})
    return [event["Action"] for event in events]
