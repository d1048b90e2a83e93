"""A kill at every named point of the runtime: `delete --force` then leaves nothing, and the id is free."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest
from tests.integration.faults.points import reachable_points
from tests.integration.runtime.conftest import SOURCE, Bundle, Runtime

CGROUP = "/wherry-test/faults"


def fault_points() -> list[str]:
    names = []
    for path in (SOURCE / "wherry/runtime").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fault_point":
                assert isinstance(node.args[0], ast.Constant), path
                names.append(str(node.args[0].value))
    return sorted(names)


def test_every_point_stands_once() -> None:
    assert len(set(fault_points())) == len(fault_points())


@pytest.mark.parametrize("point", [each for each in fault_points() if each in reachable_points()])
def test_after_a_kill_nothing_stays(runtime: Runtime, bundle: Bundle, tmp_path: Path, point: str) -> None:
    bundle.command("sleep", "60")
    bundle.spec["linux"]["cgroupsPath"] = CGROUP
    bundle.write()
    once = tmp_path / "once"
    once.touch()
    environment = {**os.environ, "WHERRY_FAULT": f"{point}@{once}"}
    steps = [["create", "--bundle", str(bundle.path), "c"], ["start", "c"], ["exec", "c", "true"]]
    steps += [["delete", "--force", "c"]]

    if point == "start.gate":  # creator and starter are one
        steps[:0] = [["run", "--bundle", str(bundle.path), "c"]]
    quiet = subprocess.DEVNULL  # a pipe would be held open by what is left
    for step in steps:
        command = [*runtime.program, "--root", str(runtime.root), *step]
        subprocess.run(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=30)
        if not once.exists():
            break
    fired = not once.exists()
    cleaned = runtime("delete", "--force", "c")

    assert fired, "no step passes this point"
    assert cleaned.returncode == 0, cleaned.stderr
    assert not list(Path("/sys/fs/cgroup").glob(f"*{CGROUP}"))
    assert runtime("list", "--quiet").stdout == ""
    bundle.command("true")
    assert runtime.run(bundle).returncode == 0
