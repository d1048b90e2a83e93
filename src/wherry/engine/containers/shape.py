"""Containers as the API shows them: what inspect and list have in common, by API version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.api.types import to_wire
from wherry.engine.networks.predefined import NetworkNotFound, find_network

if TYPE_CHECKING:
    from wherry.api.types import ContainerConfig, EndpointSettings, HostConfig
    from wherry.engine.records import ContainerRecord, MountPoint

Version = tuple[int, int]
_OMITTED_WHEN_EMPTY = (
    "ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal",
    "StopTimeout", "Shell", "OnBuild",
)  # fmt: skip
_WINDOWS_ONLY = ("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth")


def config_to_wire(config: ContainerConfig) -> dict[str, Any]:
    """The `Config` member."""
    wire = to_wire(config)
    for name in _OMITTED_WHEN_EMPTY:
        if not wire[name] and wire[name] != 0:
            del wire[name]
    if wire.get("StopTimeout", 0) is None:
        del wire["StopTimeout"]
    wire["Labels"] = wire["Labels"] or {}
    wire["OnBuild"] = config.on_build
    return wire


def host_config_to_wire(host_config: HostConfig) -> dict[str, Any]:
    """The `HostConfig` member."""
    wire = to_wire(host_config)
    for name in ("Mounts", "Tmpfs", "Sysctls", "StorageOpt", "Annotations", "Init"):
        if wire[name] is None:
            del wire[name]
    return wire


def mounts_to_wire(mounts: tuple[MountPoint, ...]) -> list[dict[str, Any]]:
    """The `Mounts` member."""
    return [_mount_to_wire(point) for point in mounts if point.listed]


def _mount_to_wire(point: MountPoint) -> dict[str, Any]:
    wire: dict[str, Any] = {"Type": point.type}
    if point.name:
        wire["Name"] = point.name
    wire |= {"Source": point.source, "Destination": point.destination}
    if point.driver:
        wire["Driver"] = point.driver
    return wire | {"Mode": point.mode, "RW": point.rw, "Propagation": point.propagation}


def networks_to_wire(record: ContainerRecord, *, version: Version) -> dict[str, Any]:
    """The networks a container is in, with no address claimed that it does not have."""
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        return {}
    try:
        network = find_network(mode)
    except NetworkNotFound:
        return {}
    return {network.name: _endpoint(record.endpoints.get(network.name), network.id, version)}


def _endpoint(settings: EndpointSettings | None, network_id: str, version: Version) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "IPAMConfig": None,
        "Links": settings.links if settings else None,
        "Aliases": settings.aliases if settings else None,
        "MacAddress": "",
        "DriverOpts": settings.driver_opts if settings else None,
        "NetworkID": network_id,
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
    }
    if version >= (1, 44):
        wire["DNSNames"] = None
    if version >= (1, 48):
        wire["GwPriority"] = settings.gw_priority if settings else 0
    return wire


def network_settings_to_wire(record: ContainerRecord, *, version: Version) -> dict[str, Any]:
    """The `NetworkSettings` member of inspect: no sandbox key, no published port."""
    wire: dict[str, Any] = {
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": dict.fromkeys(record.config.exposed_ports or ()),
        "Networks": networks_to_wire(record, version=version),
    }
    if version < (1, 52):
        wire = {
            "Bridge": "",
            "HairpinMode": False,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "SecondaryIPAddresses": None,
            "SecondaryIPv6Addresses": None,
            "EndpointID": "",
            "Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "IPAddress": "",
            "IPPrefixLen": 0,
            "IPv6Gateway": "",
            "MacAddress": "",
        } | wire
    return wire
