"""Listing containers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from wherry.api import filters as api_filters
from wherry.engine.containers.inspect import container_size
from wherry.engine.containers.shape import Version, mounts_to_wire, networks_to_wire
from wherry.engine.containers.status import status_text
from wherry.engine.images.find import find_image
from wherry.engine.labels import labels_match
from wherry.engine.records import Status
from wherry.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from wherry.api.filters import Filters
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine

FILTERS = frozenset({
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "label", "name", "network",
    "publish", "since", "status", "volume",
})  # fmt: skip
_HEALTH = frozenset({"none", "starting", "healthy", "unhealthy"})
Test = Callable[["Container"], bool]


async def list_containers(
    engine: Engine,
    *,
    all: bool = False,
    limit: int = 0,
    size: bool = False,
    filters: Filters | None = None,
    version: Version = (1, 56),
) -> list[dict[str, Any]]:
    """Summaries, the newest first: of running containers, or of all; `limit` takes the newest of all.

    Raises:
        InvalidArgument: an unknown filter or value.
        NotFound: `before` or `since` names no container.
    """
    filters = filters or {}
    api_filters.check(filters, FILTERS)
    tests = _tests(engine, filters)
    if not (all or limit > 0 or filters.keys() & {"status", "exited", "before", "since"}):
        tests.append(lambda container: container.running)
    newest_first = sorted(engine.containers, key=lambda c: c.record.created_at_ns, reverse=True)
    chosen = [container for container in newest_first if _passes(container, tests)]
    chosen = chosen[:limit] if limit > 0 else chosen
    summaries = [_summary(container, version) for container in chosen]
    if size:
        for container, summary in zip(chosen, summaries, strict=True):
            summary |= await container_size(engine, container)
    return summaries


def _passes(container: Container, tests: list[Test]) -> bool:
    return all(test(container) for test in tests)


def _summary(container: Container, version: Version) -> dict[str, Any]:
    record = container.record
    summary: dict[str, Any] = {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.config.image or record.image_id,
        "ImageID": record.image_id,
        "Command": _command(record.path, record.args),
        "Created": record.created_at_ns // 1_000_000_000,
        "Ports": _ports(container),
        "Labels": record.config.labels or {},
        "State": container.status,
        "Status": status_text(container),
        "HostConfig": {"NetworkMode": record.host_config.network_mode},
        "NetworkSettings": {"Networks": networks_to_wire(record, version=version)},
        "Mounts": mounts_to_wire(record.mounts),
    }
    if record.host_config.annotations and version >= (1, 46):
        summary["HostConfig"]["Annotations"] = record.host_config.annotations
    if version >= (1, 48):
        summary["ImageManifestDescriptor"] = record.manifest
    return summary


def _command(path: str, args: list[str]) -> str:
    """The command line, arguments with blanks in single quotes."""
    quoted = [f"'{arg}'" if " " in arg else arg for arg in args]
    return " ".join([path, *quoted])


def _ports(container: Container) -> list[dict[str, Any]]:
    """The exposed ports of a running container; none is published."""
    if not container.record.running:
        return []
    ports = []
    for text in container.record.config.exposed_ports or ():
        number, _, protocol = text.partition("/")
        if number.isdigit():
            ports.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
    return ports


def _tests(engine: Engine, filters: Filters) -> list[Test]:
    """One test for each filter; values of one are alternatives, labels must all fit."""
    makers: dict[str, Callable[[Engine, list[str]], Test]] = {
        "id": lambda _, values: lambda c: any(c.id.startswith(value) for value in values),
        "name": _by_name,
        "label": lambda _, values: lambda c: labels_match(c.record.config.labels or {}, values),
        "status": _by_status,
        "exited": _by_exit_code,
        "health": _by_health,
        "ancestor": _by_ancestor,
        "before": lambda e, values: _by_time(e, values, later=False),
        "since": lambda e, values: _by_time(e, values, later=True),
        "volume": lambda _, values: lambda c: any(_mounts(c, value) for value in values),
        "network": _by_network,
        "expose": lambda _, values: _by_port(values, published=False),
        "publish": lambda _, values: _by_port(values, published=True),
        "is-task": _by_task,
    }
    return [makers[name](engine, values) for name, values in filters.items() if values]


def _by_name(_: Engine, values: list[str]) -> Test:
    patterns = []
    for value in values:
        try:
            patterns.append(re.compile(value))
        except re.error:
            raise InvalidArgument(f"invalid filter 'name={value}'") from None
    return lambda c: any(
        pattern.search(c.record.name) or pattern.search(f"/{c.record.name}") for pattern in patterns
    )


def _by_status(_: Engine, values: list[str]) -> Test:
    for value in values:
        if value not in get_args(Status):
            raise InvalidArgument(
                f"invalid filter 'status={value}': invalid value for state ({value}): "
                "must be one of created, running, paused, restarting, removing, exited, dead"
            )
    return lambda c: c.status in values


def _by_exit_code(_: Engine, values: list[str]) -> Test:
    codes = set()
    for value in values:
        try:
            codes.add(int(value))
        except ValueError:
            raise InvalidArgument(f"invalid filter 'exited={value}': not a number") from None
    return lambda c: (
        c.record.state.finished_at_ns != 0 and not c.running and c.record.state.exit_code in codes
    )


def _by_health(_: Engine, values: list[str]) -> Test:
    for value in values:
        if value not in _HEALTH:
            raise InvalidArgument(
                f"invalid filter 'health={value}': invalid value for health ({value}): "
                "must be one of none, starting, healthy, unhealthy"
            )
    return lambda _: "none" in values


def _by_ancestor(engine: Engine, values: list[str]) -> Test:
    wanted: set[str] = set()
    for value in values:
        try:
            wanted.add(str(find_image(engine, value).target.digest))
        except (NotFound, InvalidArgument):
            continue
    return lambda c: c.record.image_id in wanted


def _by_time(engine: Engine, values: list[str], *, later: bool) -> Test:
    limits = [engine.containers.find(value).record.created_at_ns for value in values]
    if later:
        return lambda c: c.record.created_at_ns > max(limits)
    return lambda c: c.record.created_at_ns < min(limits)


def _mounts(container: Container, value: str) -> bool:
    return any(
        value in {point.name, point.destination} or (point.type == "bind" and value == point.source)
        for point in container.record.mounts
    )


def _by_network(_: Engine, values: list[str]) -> Test:
    def test(container: Container) -> bool:
        networks = networks_to_wire(container.record, version=(1, 56))
        return any(
            value == name or (value and endpoint["NetworkID"].startswith(value))
            for name, endpoint in networks.items()
            for value in values
        )

    return test


def _by_port(values: list[str], *, published: bool) -> Test:
    wanted: set[str] = set()
    for value in values:
        match = re.fullmatch(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", value)
        if match is None:
            raise InvalidArgument(f'invalid port specification: "{value}"')
        first, last = int(match[1]), int(match[2] or match[1])
        wanted |= {f"{port}/{match[3] or 'tcp'}" for port in range(first, min(last, 65535) + 1)}
    if published:
        return lambda c: bool(wanted & set(c.record.host_config.port_bindings))
    return lambda c: bool(wanted & set(c.record.config.exposed_ports or ()))


def _by_task(_: Engine, values: list[str]) -> Test:
    asked = api_filters.boolean({"is-task": values}, "is-task", default=False)
    return lambda _container: not asked
