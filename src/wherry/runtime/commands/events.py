"""events: what a container uses, once or every few seconds, and when the kernel kills for memory."""

from __future__ import annotations

import sys
import time

from wherry.errors import InvalidArgument
from wherry.files.json import dumps
from wherry.runtime.commands.flags import BOOLEAN, STRING, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import WrongState

FLAGS = {"interval": (STRING, "5s", ""), "stats": (BOOLEAN, False, "")}

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LOOK_S = 0.25


def run(options: Options, arguments: list[str]) -> int:
    interval_s = parse_duration(options["interval"])
    container_id = take_id(arguments)
    with Container.load(options["root"], container_id) as container:
        if container.status() == "stopped":
            raise WrongState("container not running")
    cgroup = container.cgroup()
    if options["stats"]:
        _print("stats", container_id, cgroup.stats())
        return 0
    kills, due = cgroup.oom_kill_count(), 0.0
    while container.status() != "stopped":
        if cgroup.oom_kill_count() > kills:
            kills = cgroup.oom_kill_count()
            _print("oom", container_id, None)
        if time.monotonic() >= due:
            _print("stats", container_id, cgroup.stats())
            due = time.monotonic() + interval_s
        time.sleep(min(_LOOK_S, interval_s))
    return 0


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `500ms`, `5s`, `1m`.

    Raises:
        InvalidArgument: not a positive duration.
    """
    digits = text.rstrip("hms")
    try:
        value = float(digits) * _UNITS_S[text[len(digits) :]]
    except (ValueError, KeyError):
        raise InvalidArgument(f'invalid value "{text}" for flag -interval') from None
    if not 0 < value < 1e9:
        raise InvalidArgument("duration interval must be greater than 0")
    return value


def _print(kind: str, container_id: str, data: object) -> None:
    record: dict[str, object] = {"type": kind, "id": container_id}
    if data is not None:
        record["data"] = data
    sys.stdout.write(dumps(record) + "\n")
    sys.stdout.flush()
