"""Looking at a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engine.networks.list import members
from wherry.engine.networks.predefined import find_network, network_to_wire
from wherry.engine.times import rfc3339

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def inspect_network(
    engine: Engine,
    reference: str,
    *,
    version: tuple[int, int] = (1, 56),  # noqa: ARG001  the same in all versions so far
) -> dict[str, Any]:
    """A network with the containers in it.

    Raises:
        NotFound: no such network.
    """
    network = find_network(reference)
    return network_to_wire(network, rfc3339(engine.opened_at_ns)) | {"Containers": members(engine, network)}
