"""`--network` and the flags that go with it: the endpoints of a new container."""

from __future__ import annotations

from wherry.cli.failures import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.cli.flags import Options

    Json = dict[str, Any]

_PREDEFINED = ("bridge", "default", "host", "none", "nat")


def network_endpoints(options: Options, host: Json) -> dict[str, Json]:
    networks = [dict(network) for network in options["network"]] or [
        {"Target": "default", "Aliases": [], "LinkLocalIPs": [], "DriverOpts": {}}
    ]
    kinds = {_is_user_defined(network["Target"]) for network in networks}
    if len(kinds) > 1:
        raise CommandFailed(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        )
    _apply_container_flags(networks[0], options)
    endpoints: dict[str, Json] = {}
    for network in networks:
        target = network["Target"]
        if target in endpoints:
            raise CommandFailed(f'network "{target}" is specified multiple times')
        if network["Aliases"] and not _is_user_defined(target):
            raise CommandFailed("network-scoped aliases are only supported for user-defined networks")
        if target == "host" or is_of_container(target):
            continue
        endpoint = _endpoint(network, [] if network is not networks[0] else host.get("Links", []))
        if endpoint or len(networks) > 1:
            endpoints[target] = endpoint
    return endpoints


def _is_user_defined(target: str) -> bool:
    return target not in _PREDEFINED and not target.startswith("container:")


def _apply_container_flags(network: Json, options: Options) -> None:
    """--ip and its like belong to the first network."""
    for flag, member in (
        ("network-alias", "Aliases"),
        ("ip", "IPv4Address"),
        ("ip6", "IPv6Address"),
        ("mac-address", "MacAddress"),
        ("link-local-ip", "LinkLocalIPs"),
    ):
        if not options[flag]:
            continue
        if network.get(member):
            what = {"Aliases": "alias", "IPv4Address": "IPv4 address", "IPv6Address": "IPv6 address"}.get(
                member, "MAC address" if member == "MacAddress" else "link-local address"
            )
            raise CommandFailed(f"conflicting options: cannot specify both --{flag} and per-network {what}")
        network[member] = options[flag]


def _endpoint(network: Json, links: list[str]) -> Json:
    endpoint: Json = {}
    addresses = {
        name: network[member]
        for name, member in (
            ("IPv4Address", "IPv4Address"),
            ("IPv6Address", "IPv6Address"),
            ("LinkLocalIPs", "LinkLocalIPs"),
        )
        if network.get(member)
    }
    if addresses:
        endpoint["IPAMConfig"] = addresses
    for member in ("Aliases", "DriverOpts", "MacAddress", "GwPriority"):
        if network.get(member):
            endpoint[member] = network[member]
    if links and _is_user_defined(network["Target"]):
        endpoint["Links"] = links
    return endpoint


def is_of_container(mode: str) -> bool:
    """Whether a mode is another container's: `container:NAME`."""
    return mode.startswith("container:") and len(mode) > len("container:")
