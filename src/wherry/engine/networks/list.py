"""Listing networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wherry.api import filters as api_filters
from wherry.engine.containers.shape import networks_to_wire
from wherry.engine.networks.predefined import NETWORKS, Network, network_to_wire
from wherry.engine.times import rfc3339
from wherry.errors import InvalidArgument

if TYPE_CHECKING:
    from wherry.api.filters import Filters
    from wherry.engine.engine import Engine

FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})


async def list_networks(
    engine: Engine,
    *,
    filters: Filters | None = None,
    version: tuple[int, int] = (1, 56),  # noqa: ARG001  the same in all versions so far
) -> list[dict[str, Any]]:
    """The networks that fit `filters`.

    Raises:
        InvalidArgument: an unknown filter or value.
    """
    filters = filters or {}
    api_filters.check(filters, FILTERS)
    for value in filters.get("type", []):
        if value not in {"custom", "builtin"}:
            raise InvalidArgument(f"invalid filter: 'type'='{value}'")
    created = rfc3339(engine.opened_at_ns)
    return [network_to_wire(network, created) for network in NETWORKS if _fits(network, filters)]


def _fits(network: Network, filters: Filters) -> bool:
    dangling = api_filters.boolean(filters, "dangling", default=False)
    tests: dict[str, Callable[[list[str]], bool]] = {
        "dangling": lambda _: not dangling,  # a predefined network is never in the way
        "driver": lambda values: network.driver in values,
        "id": lambda values: any(network.id.startswith(value) for value in values),
        "label": lambda _: False,
        "name": lambda values: any(value in network.name for value in values),
        "scope": lambda values: "local" in values,
        "type": lambda values: "builtin" in values,
    }
    return all(tests[name](values) for name, values in filters.items() if values)


def members(engine: Engine, network: Network) -> dict[str, Any]:
    """The running containers of a network, without addresses: they have none."""
    return {
        container.id: {
            "Name": container.record.name,
            "EndpointID": "",
            "MacAddress": "",
            "IPv4Address": "",
            "IPv6Address": "",
        }
        for container in engine.containers
        if container.record.running and network.name in networks_to_wire(container.record, version=(1, 56))
    }
