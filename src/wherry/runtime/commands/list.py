"""list: the containers of this root."""

from __future__ import annotations

import sys

from wherry.errors import InvalidArgument
from wherry.files.json import dumps
from wherry.runtime.commands.flags import BOOLEAN, STRING, Options
from wherry.runtime.container import Container, container_ids
from wherry.runtime.failures import ContainerNotFound

FLAGS = {"format": (STRING, "table", "f"), "quiet": (BOOLEAN, False, "q")}

_HEADER = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def run(options: Options, arguments: list[str]) -> int:
    del arguments
    ids = [each for each in container_ids(options["root"]) if not each.startswith(".")]
    if options["quiet"]:
        sys.stdout.writelines(f"{each}\n" for each in ids)
        return 0
    states = [state for state in (_state(options["root"], each) for each in ids) if state]
    if options["format"] == "json":
        sys.stdout.write(dumps(states or None) + "\n")
    elif options["format"] == "table":
        rows = [_HEADER, *(tuple(str(state[key.lower()]) for key in _HEADER) for state in states)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
        for row in rows:
            line = "".join(f"{cell:<{max(width, 8) + 3}}" for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(line.rstrip() + "\n")
    else:
        raise InvalidArgument("invalid format option")
    return 0


def _state(root: str, container_id: str) -> dict[str, object] | None:
    try:
        with Container.load(root, container_id, lock=False) as container:
            return container.state()
    except ContainerNotFound:
        return None  # deleted meanwhile, or being made
