"""ps: the processes of a container, as pids or in the words of the host's ps."""

from __future__ import annotations

import os
import sys

from wherry.errors import InvalidArgument, WherryError
from wherry.files.json import dumps
from wherry.runtime.commands.flags import STRING, Options, take_id
from wherry.runtime.container import Container

FLAGS = {"format": (STRING, "table", "f")}


def run(options: Options, arguments: list[str]) -> int:
    with Container.load(options["root"], take_id(arguments, exactly=False)) as container:
        pids = container.cgroup().pids()
    if options["format"] == "json":
        sys.stdout.write(dumps(pids) + "\n")
    elif options["format"] == "table":
        sys.stdout.writelines(_rows(_run_ps(arguments[1:] or ["-ef"]), {str(pid) for pid in pids}))
    else:
        raise InvalidArgument("invalid format option")
    return 0


def _run_ps(arguments: list[str]) -> str:
    read, write = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, write, 1)]
        pid = os.posix_spawnp("ps", ["ps", *arguments], os.environ, file_actions=actions)
    except FileNotFoundError:
        os.close(read)
        raise WherryError("ps: the host has no ps command; use --format json") from None
    finally:
        os.close(write)
    with os.fdopen(read, "rb") as file:
        text = file.read().decode("utf-8", "replace")
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise WherryError(f"ps: {text.strip()}")
    return text


def _rows(text: str, pids: set[str]) -> list[str]:
    """The header, and the lines of those processes."""
    lines = text.splitlines(keepends=True)
    if not lines or "PID" not in lines[0].split():
        raise WherryError("couldn't find PID field in ps output")
    column = lines[0].split().index("PID")
    return [
        lines[0],
        *(
            line
            for line in lines[1:]
            if line.split()[column : column + 1][:1] and line.split()[column] in pids
        ),
    ]
