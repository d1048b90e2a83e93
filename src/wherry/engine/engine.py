"""The engine object: the services of core it stands on, and its live containers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wherry.api.types import Ulimit
from wherry.core.gc import Collector
from wherry.diagnostics.logs import log
from wherry.engine.containers.store import Containers
from wherry.engine.events import Events
from wherry.engine.images.cache import ImageCache
from wherry.engine.images.collect import collect_now_and_then, container_roots
from wherry.engine.records import SCHEMA
from wherry.engine.volumes.store import Volumes

if TYPE_CHECKING:
    from wherry.core.content.local import LocalContent
    from wherry.core.images import ImageStore
    from wherry.core.leases import Leases
    from wherry.core.metadata import Metadata
    from wherry.core.snapshots import Snapshotter
    from wherry.core.tasks import TaskService
    from wherry.core.threads import Threads
    from wherry.core.transfer import TransferServices

TENANT = "moby"


class EngineConfig(msgspec.Struct, kw_only=True, frozen=True):
    """What the daemon's configuration decides for the engine."""

    data_root: Path
    exec_root: Path
    cgroup_parent: str = "/wherry"
    snapshotter: str = "overlayfs"
    default_ulimits: tuple[Ulimit, ...] = ()
    default_shm_size: int = 64 * 1024 * 1024
    default_ipc_mode: str = "private"
    default_cgroupns_mode: str = ""
    default_stop_timeout_s: int = 10
    log_driver: str = "json-file"
    log_options: dict[str, str] = {}
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    init: bool = False
    no_new_privileges: bool = False
    seccomp_profile: dict[str, Any] | None = None
    oom_score_adjust: int = 0
    labels: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    debug: bool = False


class Engine:
    """Docker's engine over the services of core.

    `open` reads the records and starts the spawner, `restore` rejoins what ran before; then
    verbs may be called.  `close` lets go of everything and stops no container.
    """

    def __init__(
        self,
        *,
        config: EngineConfig,
        metadata: Metadata,
        content: LocalContent,
        snapshots: Snapshotter,
        images: ImageStore,
        leases: Leases,
        threads: Threads,
        tasks: TaskService,
        transfer: TransferServices,
        tenant: str = TENANT,
    ) -> None:
        metadata.register(SCHEMA)
        self.config = config
        self.tenant = tenant
        self.metadata = metadata
        self.content = content
        self.snapshots = snapshots
        self.images = images
        self.leases = leases
        self.threads = threads
        self.tasks = tasks
        self.transfer = transfer
        self.events = Events()
        self.containers = Containers(metadata)
        self.volumes = Volumes(metadata, config.data_root / "volumes")
        self.image_cache = ImageCache(content)
        self.pruning: set[str] = set()
        self.collector = Collector(content, [snapshots], images, leases)
        self.collector.add_roots(lambda: container_roots(self))
        self.collecting = asyncio.Lock()
        self.opened_at_ns = time.time_ns()
        self.closing = False
        self._background: set[asyncio.Task[None]] = set()

    @property
    def containers_root(self) -> Path:
        """Where each container has its directory."""
        return self.config.data_root / "containers"

    @property
    def exec_records_root(self) -> Path:
        """Where running execs are written down, so that a restarted daemon knows them."""
        return self.config.exec_root / "engine" / "execs"

    async def open(self) -> None:
        """Make the directories and read the records."""
        for path in (self.containers_root, self.volumes.root, self.exec_records_root):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chmod(path, 0o700)
        self.containers.load()
        self.volumes.load()

    async def restore(self) -> None:
        """Rejoin running tasks, handle exits that happened meanwhile, finish or undo what was cut short."""
        from wherry.engine.restore import restore

        await restore(self)
        self.spawn(collect_now_and_then(self), "garbage collection")

    async def close(self) -> None:
        """End the engine's own coroutines.  Containers go on."""
        self.closing = True
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` as the engine's own coroutine; a failure of it is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log("error", "background work failed", work=task.get_name(), error=repr(error))
