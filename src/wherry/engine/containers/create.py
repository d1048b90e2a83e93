"""Creating a container.

The container's directory is made first and its record committed last.  A crash between the
two leaves a directory without a record, by which restore knows what else to undo: the
snapshot of that key and the volumes made for it.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from wherry.api.types import ContainerConfig, HostConfig, LogConfig
from wherry.core.snapshots import SnapshotNotFound
from wherry.core.spec import MASKED_PATHS, READONLY_PATHS
from wherry.core.unpack import unpack_image
from wherry.diagnostics.faults import fault_point
from wherry.engine.container_events import emit_container
from wherry.engine.containers.checks import check_container
from wherry.engine.containers.directory import make_directory, remove_directory
from wherry.engine.containers.endpoints import check_endpoints
from wherry.engine.containers.merge import command_line, merge_config
from wherry.engine.containers.volumes import fill_volumes
from wherry.engine.failures import disk_failure
from wherry.engine.host import this_host
from wherry.engine.images.find import find_image, resolve_image
from wherry.engine.mounts import Volumes, plan_mounts
from wherry.engine.names import checked_name, generate_name
from wherry.engine.records import ContainerRecord, MountPoint, VolumeRecord
from wherry.engine.rootfs import place_marks
from wherry.engine.volumes.create import check_driver
from wherry.engine.volumes.store import DRIVER, check_name
from wherry.errors import InvalidArgument
from wherry.oci.platform import Platform

if TYPE_CHECKING:
    from wherry.api.types import ContainerCreateRequest, EndpointSettings
    from wherry.engine.engine import Engine
    from wherry.engine.images.cache import ResolvedImage

SHORT_ID = 12


async def create_container(
    engine: Engine, body: ContainerCreateRequest, *, name: str = "", platform: str = ""
) -> dict[str, Any]:
    """Create a container and return `{Id, Warnings}`.

    Raises:
        InvalidArgument: the request asks for what cannot be.
        NotFound: no such image, or not for this platform.
        AlreadyExists: the name is in use.
    """
    if not body.image and not body.cmd and not body.entrypoint:
        raise InvalidArgument("config cannot be empty in order to create a container")
    bare_name = checked_name(name) if name else ""
    found = find_image(engine, body.image)
    wanted = Platform.parse(platform) if platform else None
    image = await resolve_image(engine, found, platform=wanted, name=body.image)
    record, warnings = _plan(engine, body, image, bare_name)
    if wanted is None and Platform.host().rank(image.config.platform) is None:
        warnings.append(
            f"The requested image's platform ({image.config.platform}) does not match the detected host "
            f"platform ({Platform.host()}) and no specific platform was requested"
        )
    engine.containers.reserve(record.name, record.id)
    try:
        await _make(engine, record, image)
    except BaseException as error:
        engine.containers.release(record.name, record.id)
        if isinstance(error, OSError):
            raise disk_failure("failed to create container", error) from error
        raise
    return {"Id": record.id, "Warnings": warnings}


def _plan(
    engine: Engine, body: ContainerCreateRequest, image: ResolvedImage, name: str
) -> tuple[ContainerRecord, list[str]]:
    """The record of the new container, checked, and the warnings."""
    container_id = _new_id(engine)
    config = merge_config(body, image.config.process)
    host_config = _with_defaults(engine, body.host_config)
    network = host_config.network_mode
    host = this_host()
    if not config.hostname:
        config = msgspec.structs.replace(
            config, hostname=host.name if network == "host" else container_id[:SHORT_ID]
        )
    endpoints = _endpoints(body)
    warnings = check_container(config, host_config, host) + check_endpoints(config, endpoints)
    path, args = command_line(config)
    return (
        ContainerRecord(
            id=container_id,
            name=name or generate_name(engine.containers.has_name),
            created_at_ns=time.time_ns(),
            path=path,
            args=args,
            config=config,
            host_config=host_config,
            image_id=str(image.target.digest),
            manifest=image.descriptor.to_dict(),
            chain_id=image.chain_id,
            driver=engine.snapshots.name,
            mounts=_plan_mounts(engine, config, host_config),
            endpoints=endpoints,
        ),
        warnings,
    )


def _endpoints(body: ContainerCreateRequest) -> dict[str, EndpointSettings]:
    """What was asked of each network, the default one by its name."""
    given = body.networking_config.endpoints_config
    return {"bridge" if name == "default" else name: settings for name, settings in given.items()}


def _new_id(engine: Engine) -> str:
    """A random id whose short form is no number, since it becomes a hostname."""
    while True:
        container_id = secrets.token_hex(32)
        if not container_id[:SHORT_ID].isdigit() and engine.containers.get(container_id) is None:
            return container_id


def _with_defaults(engine: Engine, host_config: HostConfig) -> HostConfig:
    """`host_config` with the defaults that inspect shows."""
    changes: dict[str, Any] = {
        "network_mode": host_config.network_mode or "bridge",
        "ipc_mode": host_config.ipc_mode or engine.config.default_ipc_mode,
        "shm_size": host_config.shm_size or engine.config.default_shm_size,
        "runtime": host_config.runtime or "wherry",
        "restart_policy": msgspec.structs.replace(
            host_config.restart_policy, name=host_config.restart_policy.name or "no"
        ),
    }
    if host_config.network_mode == "default":
        changes["network_mode"] = "bridge"
    if not host_config.cgroupns_mode:
        host = this_host()
        on_v1 = host.cgroup_version == 1
        changes["cgroupns_mode"] = engine.config.default_cgroupns_mode or ("host" if on_v1 else "private")
    if not host_config.log_config.type:
        options = {**engine.config.log_options, **host_config.log_config.config}
        changes["log_config"] = LogConfig(type=engine.config.log_driver, config=options)
    if not host_config.privileged:
        masked = [*MASKED_PATHS, *this_host().thermal_paths]
        changes["masked_paths"] = masked if host_config.masked_paths is None else host_config.masked_paths
        if host_config.readonly_paths is None:
            changes["readonly_paths"] = list(READONLY_PATHS)
    if host_config.memory > 0 and host_config.memory_swap == 0:
        changes["memory_swap"] = 2 * host_config.memory
    return msgspec.structs.replace(host_config, **changes)


def _plan_mounts(engine: Engine, config: ContainerConfig, host_config: HostConfig) -> tuple[MountPoint, ...]:
    others = {
        name: engine.containers.find(name).record.mounts
        for entry in host_config.volumes_from or ()
        if (name := entry.partition(":")[0])
    }
    volumes = Volumes(data=lambda name: str(engine.volumes.data(name)), new_name=engine.volumes.new_name)
    points = plan_mounts(host_config, config.volumes or (), volumes=volumes, exists=_exists, others=others)
    for point in points:
        if point.type == "volume":
            check_name(point.name)
            check_driver(host_config.volume_driver or point.driver, point.driver_options)
    return points


def _exists(path: str) -> bool:
    return os.path.lexists(path)


async def _make(engine: Engine, record: ContainerRecord, image: ResolvedImage) -> None:
    """Make directory, snapshot and volumes, then commit; what fails is undone."""
    new_volumes = {
        point.name: point
        for point in record.mounts
        if point.type == "volume" and engine.volumes.find(point.name) is None
    }
    claims = frozenset(point.name for point in record.mounts if point.type == "volume")
    async with AsyncExitStack() as undo:
        engine.volumes.claims[record.id] = claims
        undo.callback(engine.volumes.claims.pop, record.id, None)
        undo.push_async_callback(engine.threads.disk, remove_directory, engine, record.id)
        volumes = await engine.threads.disk(_make_on_disk, engine, record, list(new_volumes.values()))
        for volume in volumes:
            if volume.anonymous:
                undo.push_async_callback(engine.threads.disk, engine.volumes.discard, volume.name)
        undo.push_async_callback(engine.threads.disk, _remove_snapshot, engine, record.id)
        await _prepare_snapshot(engine, record, image)
        fault_point("create.snapshot-prepared")
        await fill_volumes(engine, record)
        container = await engine.containers.insert(record, volumes=volumes)
        fault_point("create.record-committed")
        undo.pop_all()
        engine.volumes.adopt(volumes)
        engine.volumes.claims.pop(record.id, None)
    for volume in volumes:
        engine.events.emit("volume", "create", volume.name, {"driver": DRIVER})
    emit_container(engine, container, "create")


def _make_on_disk(
    engine: Engine, record: ContainerRecord, new_volumes: list[MountPoint]
) -> list[VolumeRecord]:
    """The directory of the container and of its new volumes.  Blocks."""
    make_directory(engine, record)
    fault_point("create.directory-made")
    return [
        engine.volumes.make(
            point.name, labels=point.labels, options=point.driver_options, anonymous=point.anonymous
        )
        for point in new_volumes
    ]


async def _prepare_snapshot(engine: Engine, record: ContainerRecord, image: ResolvedImage) -> None:
    """The container's own layer on the image's, which is unpacked now if it is not yet."""
    try:
        await engine.threads.disk(_prepare, engine, record)
    except SnapshotNotFound:
        await engine.threads.disk(
            unpack_image, engine.content, engine.snapshots, image.manifest, image.config
        )
        await engine.threads.disk(_prepare, engine, record)


def _prepare(engine: Engine, record: ContainerRecord) -> None:
    engine.snapshots.prepare(record.id, record.chain_id or None)
    fault_point("create.snapshot-recorded")
    place_marks(engine.snapshots.upper(record.id), engine.snapshots.lowers(record.id))


def _remove_snapshot(engine: Engine, key: str) -> None:
    try:
        engine.snapshots.remove(key)
    except SnapshotNotFound:
        pass
