"""An engine in this process on real stores, with a busybox image, its own roots and its own cgroup."""

from __future__ import annotations

import asyncio
import io
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from wherry.api.types import ContainerCreateRequest, HostConfig
from wherry.core.content.local import LocalContent
from wherry.core.images import ImageStore
from wherry.core.leases import Leases
from wherry.core.metadata import Metadata
from wherry.core.snapshots.overlayfs import OverlaySnapshots
from wherry.core.tasks import TaskService
from wherry.core.threads import Threads
from wherry.core.transfer import TransferServices
from wherry.engine.containers.create import create_container
from wherry.engine.containers.logs import container_logs
from wherry.engine.containers.remove import remove_container
from wherry.engine.containers.start import start_container
from wherry.engine.containers.wait import wait_container
from wherry.engine.engine import Engine, EngineConfig
from wherry.engine.images.import_ import import_image

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh", "true", "false", "cat", "echo", "sleep", "id", "ls", "env", "head", "seq", "touch", "kill",
    "mount", "stat", "mkdir", "rm", "hostname", "test", "printf", "ps", "wc", "dd", "stty",
)  # fmt: skip
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:bob\nbob:x:1000:\n"


def busybox_tar() -> bytes:
    """A small root file system: the distribution's static busybox, links to it, and two users."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name in ("bin", "etc", "root", "tmp", "seed"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        program = BUSYBOX.read_bytes()
        files = {"bin/busybox": (program, 0o755), "etc/passwd": (PASSWD, 0o644), "etc/group": (GROUP, 0o644)}
        files["seed/hello"] = (b"from the image\n", 0o644)
        files["bin/noexec"] = (b"#!/bin/sh\n", 0o644)
        for name, (data, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return output.getvalue()


class Roots:
    """The directories of an engine that may be opened several times, as a daemon is restarted."""

    def __init__(self, base: Path) -> None:
        self.data, self.exec = base / "data", base / "exec"
        for path in (self.data, self.exec):
            path.mkdir()

    @asynccontextmanager
    async def engine(self, **settings: Any) -> AsyncIterator[Engine]:
        """The engine of these roots, restored, for the length of the block."""
        threads = Threads()
        metadata = Metadata(self.data / "metadata.db")
        content = LocalContent(self.data / "content", metadata)
        snapshots = OverlaySnapshots(self.data / "snapshots" / "overlayfs", metadata)
        images, leases = ImageStore(metadata), Leases(metadata)
        tasks = TaskService(exec_root=self.exec, seccomp_cache=self.data / "seccomp", threads=threads)
        config = EngineConfig(
            data_root=self.data,
            exec_root=self.exec,
            cgroup_parent=f"/wherry-test-{self.data.parent.name}",
            **settings,
        )
        services = TransferServices(
            content=content,
            snapshots=snapshots,
            images=images,
            leases=leases,
            threads=threads,
            metadata=metadata,
        )
        engine = Engine(
            config=config,
            metadata=metadata,
            content=content,
            snapshots=snapshots,
            images=images,
            leases=leases,
            threads=threads,
            tasks=tasks,
            transfer=services,
        )
        await tasks.start_spawner()
        await engine.open()
        await engine.restore()
        try:
            yield engine
        finally:
            await engine.close()
            await tasks.close()
            metadata.close()
            threads.close()

    async def clean(self) -> None:
        """End and remove every container."""
        async with self.engine() as engine:
            for container in engine.containers:
                container.removing = False
                await remove_container(engine, container.id, volumes=True, force=True)


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Roots with the busybox image, to be copied for each test."""
    base = tmp_path_factory.mktemp("seed")
    roots = Roots(base)

    async def seed() -> None:
        async with roots.engine() as engine:
            records = import_image(
                engine, io.BytesIO(busybox_tar()), repository="busybox", changes=['CMD ["sh"]']
            )
            async for _ in records:
                pass

    asyncio.run(seed())
    return base


@pytest.fixture
def roots(seeded: Path, tmp_path: Path) -> Iterator[Roots]:
    """Fresh roots that hold the busybox image; every container in them is gone after the test."""
    base = tmp_path / "engine"
    base.mkdir()
    roots = Roots(base)
    shutil.rmtree(roots.data)
    shutil.copytree(seeded / "data", roots.data, symlinks=True)
    yield roots
    asyncio.run(roots.clean())
    for hierarchy in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]:
        parent = hierarchy / f"wherry-test-{base.name}"
        if parent.is_dir():
            parent.rmdir()


async def create(
    engine: Engine, *cmd: str, name: str = "box", host: HostConfig | None = None, **config: Any
) -> str:
    """A container of the busybox image; its id."""
    body = ContainerCreateRequest(
        image=config.pop("image", "busybox"), cmd=list(cmd), host_config=host or HostConfig(), **config
    )
    created = await create_container(engine, body, name=name)
    return str(created["Id"])


async def run(
    engine: Engine, *cmd: str, name: str = "box", host: HostConfig | None = None, **config: Any
) -> tuple[int, str]:
    """Run a container to its end: its exit code and its output."""
    await create(engine, *cmd, name=name, host=host, **config)
    waiter = await wait_container(engine, name, condition="next-exit")
    await start_container(engine, name)
    async with asyncio.timeout(20):
        code = (await waiter)["StatusCode"]
    return code, await output(engine, name)


async def output(engine: Engine, name: str) -> str:
    """What a container wrote, both streams."""
    logs = await container_logs(engine, name)
    data = b"".join([piece async for piece in logs.chunks])
    if not logs.framed:
        return data.decode()
    text, position = b"", 0
    while position < len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "big")
        text += data[position + 8 : position + 8 + size]
        position += 8 + size
    return text.decode()


def actions(engine: Engine, kind: str = "container") -> list[str]:
    """The actions of all events of a kind so far."""
    return [
        event["Action"] for event in engine.events.past(since_ns=0, until_ns=None, filters={"type": [kind]})
    ]
