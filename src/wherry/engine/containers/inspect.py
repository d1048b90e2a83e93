"""Looking at one container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engine.containers.directory import directory_of, log_path
from wherry.engine.containers.shape import (
    Version,
    config_to_wire,
    host_config_to_wire,
    mounts_to_wire,
    network_settings_to_wire,
)
from wherry.engine.containers.status import state_to_wire
from wherry.engine.host import this_host
from wherry.engine.security import parse_security_options
from wherry.engine.times import rfc3339

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine
    from wherry.engine.records import ContainerRecord


async def inspect_container(
    engine: Engine, reference: str, *, size: bool = False, version: Version = (1, 56)
) -> dict[str, Any]:
    """Everything about a container, shaped for `version`; with `size` also what its files take.

    Raises:
        NotFound: no such container.
    """
    container = engine.containers.find(reference)
    wire = _identity(container.record) | _paths(engine, container.record)
    record = container.record
    wire |= {
        "State": state_to_wire(container),
        "RestartCount": record.state.restart_count,
        "ExecIDs": list(container.execs) or None,
        "HostConfig": host_config_to_wire(record.host_config),
        "Mounts": mounts_to_wire(record.mounts),
        "Config": config_to_wire(record.config),
        "NetworkSettings": network_settings_to_wire(record, version=version),
    }
    if version >= (1, 48):
        wire["ImageManifestDescriptor"] = record.manifest
    if size:
        wire |= await container_size(engine, container)
    return wire


def _identity(record: ContainerRecord) -> dict[str, Any]:
    security = parse_security_options(record.host_config.security_opt, this_host())
    return {
        "Id": record.id,
        "Created": rfc3339(record.created_at_ns),
        "Path": record.path,
        "Args": record.args,
        "Image": record.image_id,
        "Name": f"/{record.name}",
        "Driver": record.driver,
        "Platform": record.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": security.apparmor,
    }


def _paths(engine: Engine, record: ContainerRecord) -> dict[str, Any]:
    directory = directory_of(engine, record.id)
    has_log = record.host_config.log_config.type == "json-file"
    started = record.state.started_at_ns != 0
    return {
        "ResolvConfPath": str(directory / "resolv.conf") if started else "",
        "HostnamePath": str(directory / "hostname") if started else "",
        "HostsPath": str(directory / "hosts") if started else "",
        "LogPath": str(log_path(engine, record.id)) if has_log and started else "",
        "GraphDriver": {"Name": record.driver, "Data": None},
    }


async def container_size(engine: Engine, container: Container) -> dict[str, int]:
    """`SizeRw`, what the container itself wrote, and `SizeRootFs`, with its image."""
    own, total = await engine.threads.disk(_sizes, engine, container.record)
    return {"SizeRw": own, "SizeRootFs": total}


def _sizes(engine: Engine, record: ContainerRecord) -> tuple[int, int]:
    own = engine.snapshots.usage(record.id).bytes
    total, parent = own, record.chain_id or None
    while parent is not None:
        total += engine.snapshots.usage(parent).bytes
        parent = engine.snapshots.stat(parent).parent
    return own, total
