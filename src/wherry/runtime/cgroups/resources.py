"""The shape of `linux.resources`, checked where a document comes in.

Only what the planners rely on is checked; which values are possible, the kernel says.

Spec: OCI runtime-spec, config-linux.md, Control groups.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Numbers by part; those of a list stand in each of its elements, and all must be there.
_NUMBERS = {
    "memory": ("limit", "swap", "reservation", "kernelTCP", "swappiness"),
    "cpu": ("shares", "quota", "period", "burst", "realtimeRuntime", "realtimePeriod", "idle"),
    "pids": ("limit",),
    "blockIO": ("weight", "leafWeight"),
    "network": ("classID",),
}
_STRINGS = {"cpu": ("cpus", "mems")}
_LISTS: dict[str, dict[str, tuple[str, ...]]] = {
    "blockIO": {
        "weightDevice": ("major", "minor"),
        "throttleReadBpsDevice": ("major", "minor", "rate"),
        "throttleWriteBpsDevice": ("major", "minor", "rate"),
        "throttleReadIOPSDevice": ("major", "minor", "rate"),
        "throttleWriteIOPSDevice": ("major", "minor", "rate"),
    },
    "network": {"priorities": ("priority",)},
}


def check(resources: Any) -> None:
    """Refuse a document that is not of the right shape.

    Raises:
        InvalidArgument: with the path of what is wrong.
    """
    _expect(resources, dict, "linux.resources")
    for name in ("memory", "cpu", "pids", "blockIO", "network", "rdma", "unified"):
        part = resources.get(name)
        if part is None:
            continue
        path = f"linux.resources.{name}"
        _expect(part, dict, path)
        for key in _NUMBERS.get(name, ()):
            _expect(part.get(key), int, f"{path}.{key}", optional=True)
        for key in _STRINGS.get(name, ()):
            _expect(part.get(key), str, f"{path}.{key}", optional=True)
        for key, numbers in _LISTS.get(name, {}).items():
            _check_list(part.get(key), numbers, f"{path}.{key}")
    _check_list(resources.get("devices"), (), "linux.resources.devices")
    _check_list(resources.get("hugepageLimits"), ("limit",), "linux.resources.hugepageLimits")
    for page in resources.get("hugepageLimits") or []:
        _expect(page.get("pageSize"), str, "linux.resources.hugepageLimits.pageSize")
    for device, limits in (resources.get("rdma") or {}).items():
        _expect(limits, dict, f"linux.resources.rdma.{device}")


def _check_list(elements: object, numbers: tuple[str, ...], path: str) -> None:
    if elements is None:
        return
    _expect(elements, list, path)
    assert isinstance(elements, list)
    for index, element in enumerate(elements):
        _expect(element, dict, f"{path}[{index}]")
        for key in numbers:
            _expect(element.get(key), int, f"{path}[{index}].{key}")


def _expect(value: object, kind: type, path: str, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {dict: "an object", list: "a list", int: "a number", str: "a string"}
        raise InvalidArgument(f"{path}: expected {words[kind]}, found {value!r}")
