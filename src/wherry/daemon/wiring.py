"""Builds the engine out of its parts: the only place that names implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from wherry.core.content.local import LocalContent
from wherry.core.images import ImageStore
from wherry.core.leases import Leases
from wherry.core.metadata import Metadata
from wherry.core.remotes import RegistryOptions
from wherry.core.snapshots import Snapshotter
from wherry.core.tasks import TaskService
from wherry.core.threads import Threads
from wherry.core.transfer import TransferServices
from wherry.daemon import checks
from wherry.daemon.config import Config
from wherry.engine.engine import TENANT, Engine, EngineConfig

_CERTIFICATES = (Path("/etc/docker/certs.d"), Path("/etc/wherry/certs.d"))


@asynccontextmanager
async def open_engine(config: Config, *, spawner_cgroup: Path | None = None) -> AsyncIterator[Engine]:
    """The engine, restored and ready for verbs, for the length of the block; containers outlive it."""
    async with AsyncExitStack() as stack:
        threads = Threads()
        stack.callback(threads.close)
        metadata = Metadata(config.data_root / "metadata.db")
        stack.callback(metadata.close)
        content = LocalContent(config.data_root / "content", metadata)
        tasks = open_tasks(config, threads, spawner_cgroup)
        stack.push_async_callback(tasks.close)
        transfer = TransferServices(
            content=content,
            snapshots=open_snapshots(config, metadata),
            images=ImageStore(metadata),
            leases=Leases(metadata),
            threads=threads,
            metadata=metadata,
            tenant=TENANT,
            registries=registry_options(config),
            concurrent_downloads=config.max_concurrent_downloads,
            concurrent_uploads=config.max_concurrent_uploads,
        )
        engine = Engine(
            config=engine_config(config),
            metadata=metadata,
            content=content,
            snapshots=transfer.snapshots,
            images=transfer.images,
            leases=transfer.leases,
            threads=threads,
            tasks=tasks,
            transfer=transfer,
        )
        await tasks.start_spawner()
        await engine.open()
        stack.push_async_callback(engine.close)
        await engine.restore()
        yield engine


def open_tasks(config: Config, threads: Threads, spawner_cgroup: Path | None) -> TaskService:
    """The task service of the configured exec root."""
    return TaskService(
        exec_root=config.exec_root,
        seccomp_cache=config.data_root / "seccomp",
        threads=threads,
        spawner_cgroup=spawner_cgroup,
    )


def open_snapshots(config: Config, metadata: Metadata) -> Snapshotter:
    """The snapshotter of the configured storage driver."""
    root = config.data_root / "snapshots" / config.storage_driver
    if config.storage_driver == "native":
        from wherry.core.snapshots.native import NativeSnapshots

        return NativeSnapshots(root, metadata)
    from wherry.core.snapshots.overlayfs import OverlaySnapshots

    return OverlaySnapshots(root, metadata)


def registry_options(config: Config) -> RegistryOptions:
    """How registries are spoken to."""
    return RegistryOptions(
        insecure=config.insecure_registries,
        mirrors=config.registry_mirrors,
        certificates=_CERTIFICATES,
        attempts=config.max_download_attempts,
    )


def engine_config(config: Config) -> EngineConfig:
    """The engine's share of the configuration."""
    return EngineConfig(
        data_root=config.data_root,
        exec_root=config.exec_root,
        cgroup_parent=config.cgroup_parent,
        snapshotter=config.storage_driver,
        default_ulimits=config.default_ulimits,
        default_shm_size=config.default_shm_size,
        default_ipc_mode=config.default_ipc_mode,
        default_cgroupns_mode=config.default_cgroupns_mode,
        log_driver=config.log_driver,
        log_options=config.log_options,
        dns=config.dns,
        dns_search=config.dns_search,
        dns_options=config.dns_options,
        init=config.init,
        no_new_privileges=config.no_new_privileges,
        seccomp_profile=checks.seccomp_profile(config.seccomp_profile),
        labels=config.labels,
        insecure_registries=config.insecure_registries,
        registry_mirrors=config.registry_mirrors,
        debug=config.debug,
    )
