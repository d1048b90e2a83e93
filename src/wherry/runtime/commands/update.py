"""update: change the resource limits of a container."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.runtime.commands import bundle
from wherry.runtime.commands.flags import NUMBER, STRING, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import WrongState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = {
    "resources": (STRING, "", "r"),
    "blkio-weight": (NUMBER, None, ""),
    "cpu-period": (NUMBER, None, ""),
    "cpu-quota": (NUMBER, None, ""),
    "cpu-burst": (NUMBER, None, ""),
    "cpu-share": (NUMBER, None, ""),
    "cpu-rt-period": (NUMBER, None, ""),
    "cpu-rt-runtime": (NUMBER, None, ""),
    "cpu-idle": (NUMBER, None, ""),
    "cpuset-cpus": (STRING, None, ""),
    "cpuset-mems": (STRING, None, ""),
    "memory": (STRING, None, ""),
    "memory-reservation": (STRING, None, ""),
    "memory-swap": (STRING, None, ""),
    "pids-limit": (NUMBER, None, ""),
}
_PLACES = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def run(options: Options, arguments: list[str]) -> int:
    with Container.load(options["root"], take_id(arguments)) as container:
        if container.status() == "stopped":
            raise WrongState("container not running")
        if options["resources"]:
            resources = bundle.read_document(options["resources"], "resources file")
        else:
            resources = _from_flags(options)
        container.cgroup().apply(resources)
        linux = container.spec.setdefault("linux", {})
        linux["resources"] = _merged(linux.get("resources") or {}, resources)
        container.save()
    return 0


def _from_flags(options: Options) -> dict[str, Any]:
    resources: dict[str, dict[str, Any]] = {}
    for flag, (section, key) in _PLACES.items():
        value = options[flag]
        if value is not None:
            section_values = resources.setdefault(section, {})
            section_values[key] = parse_size(value) if section == "memory" else value
    return resources


def parse_size(text: str) -> int:
    """A number of bytes, given as `-1`, `4096`, `64k`, `64KiB` or `1G`.

    Raises:
        InvalidArgument: not a size.
    """
    if text == "-1":
        return -1
    digits = text.rstrip("bBiIkKmMgGtT ")
    unit = text[len(digits) :].strip().lower().removesuffix("ib" if text.lower().endswith("ib") else "b")
    if not (digits.isascii() and digits.isdigit()) or unit not in _UNITS:
        raise InvalidArgument(f"invalid size: {text!r}")
    return int(digits) * _UNITS[unit]


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
