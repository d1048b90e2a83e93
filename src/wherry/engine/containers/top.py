"""A container's processes as the host's ps shows them.

The host's program it is and not the image's: an image need not have one, and could lie.  It runs without a
shell, and its lines are kept by process id alone, which is why the words of a client may choose columns but
not what a column of process ids is called.

Spec: moby's daemon/top_unix.go.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from wherry.engine.container_events import emit_container
from wherry.engine.containers.kill import NotRunning
from wherry.errors import Conflict, InvalidArgument, WherryError

if TYPE_CHECKING:
    from wherry.engine.engine import Engine

DEFAULT_ARGUMENTS = "-ef"
_RENAMED_PID = re.compile(r"(?:^|[\s,=])([^\s,=]*)=\s*(PID\S*)", re.ASCII)
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_TIMEOUT_S = 10.0


class ListingFailed(WherryError):
    """ps cannot say it.  It has no kind on purpose: Docker answers 500 here."""


async def top_container(engine: Engine, reference: str, arguments: str = "") -> dict[str, Any]:
    """The titles and the lines, cut into columns, that ps has for a container's processes.

    Raises:
        NotFound: no such container.
        Conflict: it does not run.
        InvalidArgument: arguments that no program can be given.
        ListingFailed: ps is not there, refuses the arguments, or shows no process ids.
    """
    words = ps_words(arguments)
    container = engine.containers.find(reference)
    if container.status == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if container.task is None or not container.record.running:
        raise NotRunning(container.id)
    pids = await container.task.pids()
    output = await engine.threads.kernel(_run_ps, words, pids)
    titles, lines = parse_ps(output, frozenset(pids))
    emit_container(engine, container, "top")
    return {"Titles": titles, "Processes": lines}


def ps_words(arguments: str) -> list[str]:
    """The words of a client for ps, by default those for all processes in full.

    Raises:
        ListingFailed: another column would be called PID.
        InvalidArgument: a character that no word can have.
    """
    for column, title in _RENAMED_PID.findall(arguments):
        if column != "pid":
            raise ListingFailed(f'specifying "{column}={title}" is not allowed')
    words = arguments.split()
    if not all(word.isprintable() for word in words):
        raise InvalidArgument(f"invalid arguments for ps: {arguments!a}")
    return words or [DEFAULT_ARGUMENTS]


def parse_ps(output: str, pids: Collection[int]) -> tuple[list[str], list[list[str]]]:
    """Titles, and of the lines those of `pids`; what a line has beyond the titles stays in its last column.

    A line whose process id is `-` tells of a thread and belongs to the process before.

    Raises:
        ListingFailed: there is no column of process ids.
    """
    head, *lines = output.split("\n")
    titles = head.split()
    if "PID" not in titles:
        raise ListingFailed("Couldn't find PID field in ps output")
    column = titles.index("PID")
    found: list[list[str]] = []
    belongs = False
    for line in lines:
        fields = line.split(None, len(titles) - 1)
        if not fields:
            continue
        pid = fields[column] if column < len(fields) else ""
        if pid != "-":
            if not pid.isdecimal():
                raise ListingFailed(f"Unexpected pid '{pid}'")
            belongs = int(pid) in pids
        if belongs:
            found.append([field.rstrip() for field in fields])
    return titles, found


def _run_ps(words: Sequence[str], pids: Sequence[int]) -> str:
    """What ps prints, of `pids` alone where its other arguments allow that.  Blocks."""
    selected = f"-q{','.join(map(str, pids))}"
    done = _ps([*words, selected])
    if done.returncode:
        done = _ps(words)
    if done.returncode:
        first = done.stderr.partition("\n")[0]
        raise ListingFailed(f"ps: {first or f'exit status {done.returncode}'}")
    return done.stdout


def _ps(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["ps", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=_ENVIRONMENT,
            cwd="/",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ListingFailed('ps: exec: "ps": executable file not found in $PATH') from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ListingFailed(f"ps: {error}") from error
