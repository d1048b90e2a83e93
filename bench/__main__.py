"""`python -m bench [--rounds N] [--only CASE,…] [--write]`."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import cases, spawn
from bench.cases import Engines, Result
from bench.extract import extraction
from wherry.linux import mount, namespaces

MARK = "<!-- measured: all below is written by make bench -->"
CASES = ("runtime", "run", "detached", "exec", "ps", "extract", "load", "stdout", "log", "memory")


def measure(wanted: set[str], rounds: int) -> list[Result]:
    results: list[Result] = []
    if "runtime" in wanted:
        results.append(spawn.runtime(rounds))
    if "extract" in wanted:
        results.append(extraction(max(3, rounds // 3)))
    if wanted <= {"runtime", "extract"}:
        return results
    with contextlib.ExitStack() as stack:
        engines = Engines(stack)
        if "memory" in wanted:
            results += cases.memory(engines)
        if "run" in wanted:
            results.append(cases.run_and_remove(engines, rounds))
        if "detached" in wanted:
            results.append(cases.run_detached(engines, rounds))
        if "exec" in wanted:
            results.append(cases.execute(engines, rounds))
        if "ps" in wanted:
            results.append(cases.list_containers(engines, rounds))
        if "load" in wanted:
            results.append(cases.load_debian(engines, 3))
        if "stdout" in wanted:
            results += cases.stdout_throughput(engines, 3)
        if "log" in wanted:
            results.append(cases.log_throughput(engines, 3))
    return results


def table(results: list[Result]) -> str:
    """The results as a Markdown table: a row a contestant, its ratio to the case's reference."""
    lines = ["| case | who | median | min–max | ratio | budget |", "|---|---|---|---|---|---|"]
    for result in results:
        reference = next((s.median for s in result.series if s.name == result.reference), None)
        for series in result.series:
            ratio = f"{series.median / reference:.2f}" if reference else ""
            spread = f"{min(series.values):.1f}–{max(series.values):.1f}"
            budget = result.budget if series.name.startswith("wherry") else ""
            figures = f"{series.median:.1f} {result.unit} | {spread} | {ratio} | {budget}"
            lines.append(f"| {result.name} | {series.name} | {figures} |")
    return "\n".join(lines) + "\n"


def versions() -> str:
    """What was measured, for the head of the document."""
    found = [f"Linux {platform.release()}", f"{os.cpu_count()} cores", f"Python {platform.python_version()}"]
    for program in ("runc", "crun", "podman", "dockerd"):
        with contextlib.suppress(FileNotFoundError):
            said = subprocess.run([program, "--version"], capture_output=True, text=True)
            found.append(said.stdout.splitlines()[0])
    return "; ".join(found)


def leave_hybrid_cgroups() -> None:
    """Hide an empty v2 hierarchy beside v1 ones, for this run alone: crun refuses such a host."""
    unified = "/sys/fs/cgroup/unified"
    if os.path.ismount(unified):
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount("", "/", "", mount.MS_REC | mount.MS_PRIVATE)
        mount.umount(unified)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="counted rounds of each case (20)")
    parser.add_argument("--only", default=",".join(CASES), help=f"cases, comma separated: {', '.join(CASES)}")
    parser.add_argument("--write", metavar="FILE", help="write the table into this document")
    options = parser.parse_args()
    wanted = set(options.only.split(","))
    if unknown := wanted - set(CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}; expected {', '.join(CASES)}")
    # As an exit, so that the engines end with the run that started them.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    leave_hybrid_cgroups()
    text = table(measure(wanted, options.rounds))
    print(text)
    if options.write:
        document = Path(options.write)
        head = document.read_text().partition(MARK)[0]
        measured = f"Measured {time.strftime('%Y-%m-%d')} on {versions()}.\n\n"
        document.write_text(f"{head}{MARK}\n\n{measured}{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
