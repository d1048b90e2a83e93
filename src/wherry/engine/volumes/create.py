"""Creating a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.diagnostics.faults import fault_point
from wherry.engine.volumes.inspect import volume_to_wire
from wherry.engine.volumes.store import DRIVER, check_name
from wherry.errors import Conflict, InvalidArgument, NotFound, Unavailable

if TYPE_CHECKING:
    from wherry.api.types import VolumeCreateRequest
    from wherry.engine.engine import Engine
    from wherry.engine.records import VolumeRecord


class UnknownVolumeDriver(NotFound):
    """There is no volume driver of this name."""

    def __init__(self, driver: str) -> None:
        super().__init__(f'error looking up volume plugin {driver}: plugin "{driver}" not found')


async def create_volume(engine: Engine, body: VolumeCreateRequest) -> dict[str, Any]:
    """Create a volume and return it; one that is here already is returned as it is.

    Raises:
        InvalidArgument: a name or an option that the local driver does not take.
        NotFound: another driver.
        Conflict: a volume of the name has other options.
    """
    if body.cluster_volume_spec is not None:
        raise Unavailable(
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect '
            "this node to swarm and try again."
        )
    volume = await ensure_volume(
        engine, body.name, driver=body.driver, labels=body.labels, options=body.driver_opts
    )
    return volume_to_wire(engine, volume)


async def ensure_volume(
    engine: Engine, name: str, *, driver: str = "", labels: dict[str, str], options: dict[str, str]
) -> VolumeRecord:
    """The volume of that name, made and committed if it is not here; no name makes an anonymous one."""
    check_driver(driver, options)
    anonymous = not name
    name = name or engine.volumes.new_name()
    check_name(name)
    present = engine.volumes.find(name)
    if present is not None:
        if options and options != present.options:
            raise Conflict(f"create {name}: volume already exists with other options")
        return present
    volume = await engine.threads.disk(
        engine.volumes.make, name, labels=labels, options=options, anonymous=anonymous
    )
    fault_point("volumes.data-made")
    await engine.volumes.commit(volume)
    engine.events.emit("volume", "create", name, {"driver": DRIVER})
    return volume


def check_driver(driver: str, options: dict[str, str]) -> None:
    """Refuse another driver than local, and options of it that would mount something.

    Raises:
        NotFound: another driver.
        InvalidArgument: an option.
    """
    if driver not in {"", DRIVER}:
        raise UnknownVolumeDriver(driver)
    for option in options:
        if option == "size":
            raise InvalidArgument("quota size requested but no quota support")
        raise InvalidArgument(f'invalid option: "{option}"')
