"""What a container may ask of the networks it joins, told before anything is made.

Spec: texts of moby's daemon/container_operations.go, validateEndpointSettings.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from wherry.api.types import ContainerConfig, EndpointIPAMConfig, EndpointSettings
from wherry.errors import InvalidArgument

_PREDEFINED = frozenset({"", "default", "bridge", "host", "none"})
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1){4}[0-9a-fA-F]{2}")
_NO_INTERFACE = (
    "MAC and link-local addresses are not available yet: the container has a loopback interface only"
)


def check_endpoints(config: ContainerConfig, endpoints: Mapping[str, EndpointSettings]) -> list[str]:
    """Refuse what the networks cannot give; returns warnings of what they do not give yet.

    Raises:
        InvalidArgument: with Docker's text.
    """
    if config.mac_address:
        _check_mac(config.mac_address)
    asked = bool(config.mac_address)
    for name, settings in endpoints.items():
        ipam = settings.ipam_config or EndpointIPAMConfig()
        errors = [*_misfits(name, settings, ipam), *_malformed(ipam)]
        if errors:
            raise InvalidArgument("invalid endpoint settings:\n" + "\n".join(errors))
        if settings.mac_address:
            _check_mac(settings.mac_address)
        asked = asked or bool(settings.mac_address or ipam.link_local_ips)
    return [_NO_INTERFACE] if asked else []


def _misfits(name: str, settings: EndpointSettings, ipam: EndpointIPAMConfig) -> list[str]:
    """What only a network that somebody made can give."""
    if name not in _PREDEFINED:
        return []
    errors = []
    if ipam.ipv4_address or ipam.ipv6_address:
        errors.append("user-specified IP address is supported on user-defined networks only")
    if settings.aliases:
        errors.append("network-scoped alias is supported only for containers in user defined networks")
    return errors


def _malformed(ipam: EndpointIPAMConfig) -> list[str]:
    errors = []
    if ipam.ipv4_address and not _is_address(ipam.ipv4_address, 4):
        errors.append(f"invalid IPv4 address: {ipam.ipv4_address}")
    if ipam.ipv6_address and not _is_address(ipam.ipv6_address, 6):
        errors.append(f"invalid IPv6 address: {ipam.ipv6_address}")
    errors += [
        f"invalid link-local IP address: {address}"
        for address in ipam.link_local_ips or ()
        if not _is_address(address, 4) and not _is_address(address, 6)
    ]
    return errors


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _check_mac(text: str) -> None:
    if not _MAC.fullmatch(text):
        raise InvalidArgument(f"invalid MAC address: {text!a}")
