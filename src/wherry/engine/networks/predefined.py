"""The networks that are always there: bridge, host and none.

Until containers can be attached to a bridge, the default network is a network namespace of
the container's own with a loopback interface, and nothing here claims otherwise: no subnet,
no gateway, no endpoint has an address.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from wherry.errors import InvalidArgument, NotFound


class NetworkNotFound(NotFound):
    """No network has this name or id."""

    def __init__(self, name: str) -> None:
        super().__init__(f"network {name} not found")


class Network(msgspec.Struct, kw_only=True, frozen=True):
    """A predefined network; its id follows from its name, so that it survives everything."""

    name: str
    driver: str

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(f"wherry predefined network {self.name}".encode()).hexdigest()


NETWORKS = (
    Network(name="bridge", driver="bridge"),
    Network(name="host", driver="host"),
    Network(name="none", driver="null"),
)


def find_network(reference: str) -> Network:
    """The network of a name, an id or the beginning of one.

    Raises:
        NetworkNotFound: none.
        InvalidArgument: the beginning of several ids.
    """
    for network in NETWORKS:
        if reference in {network.name, network.id}:
            return network
    matches = [network for network in NETWORKS if reference and network.id.startswith(reference)]
    if len(matches) > 1:
        raise InvalidArgument(
            f"network {reference} is ambiguous ({len(matches)} matches found based on ID prefix)"
        )
    if not matches:
        raise NetworkNotFound(reference)
    return matches[0]


def network_to_wire(network: Network, created: str) -> dict[str, Any]:
    """`network` as the API shows it."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": False,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Options": {},
        "Labels": {},
    }
