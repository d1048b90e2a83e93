"""Interleaved measurement: each round runs every contestant once, medians are compared."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


class CommandFailed(Exception):
    """A measured command did not end with 0."""


@dataclass
class Series:
    """What one contestant measured, in the case's unit."""

    name: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def seconds_of(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: str = os.devnull
) -> float:
    """Wall time of a command from its spawn to its end; its output goes to /dev/null.

    Raises:
        CommandFailed: it ended with another code than 0; the text holds its last error lines.
    """
    with open(stdin, "rb") as source:
        started = time.perf_counter()
        ended = subprocess.run(
            argv, env=env, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        took = time.perf_counter() - started
    if ended.returncode:
        raise CommandFailed(
            f"{argv}: exit {ended.returncode}: {ended.stderr.decode(errors='replace')[-600:]}"
        )
    return took


def interleave(
    contestants: Mapping[str, Callable[[], float]], rounds: int, *, warmup: int = 1
) -> list[Series]:
    """Run every contestant `rounds` times in turn, after `warmup` uncounted rounds."""
    series = {name: Series(name) for name in contestants}
    for number in range(-warmup, rounds):
        for name, run in contestants.items():
            value = run()
            if number >= 0:
                series[name].values.append(value)
    return list(series.values())


def proportional_kib(pid: int) -> tuple[int, int]:
    """Private and proportional memory of a process, in KiB.

    Spec: proc_pid_smaps(5), smaps_rollup.
    """
    private = proportional = 0
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            key, _, rest = line.partition(":")
            if key in ("Private_Clean", "Private_Dirty"):
                private += int(rest.split()[0])
            elif key == "Pss":
                proportional = int(rest.split()[0])
    return private, proportional


def descendants(pid: int) -> list[int]:
    """The process and all its children's children, now."""
    found = [pid]
    for entry in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{entry}/children") as file:
            for child in file.read().split():
                found += descendants(int(child))
    return found
