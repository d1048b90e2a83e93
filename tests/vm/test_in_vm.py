"""Runs the tests marked `vm` in a throw-away Debian with systemd and cgroup v2.

The machine is built once, in minutes, by `tests/vm/vm.sh build`; a run then takes seconds, though the
processor is emulated where there is no KVM.
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "vm" / "vm.sh"
MARK = "tests.vm.marks"


def is_built() -> bool:
    asked = subprocess.run([SCRIPT, "built"], cwd=ROOT, capture_output=True, timeout=60)
    return asked.returncode == 0


def marked_modules() -> list[str]:
    """The test modules that have marked tests; others may import what the machine lacks."""
    modules = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    return sorted(str(path.relative_to(ROOT)) for path in modules if MARK in path.read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run the virtual machine")
@pytest.mark.skipif(not is_built(), reason="needs the virtual machine: tests/vm/vm.sh build")
@pytest.mark.timeout(900)
def test_the_marked_tests_pass_in_the_virtual_machine() -> None:
    command = "PYTHONPATH=src python3 -B -m pytest -q -m vm -p no:randomly"

    run = subprocess.run(
        [SCRIPT, "run", " ".join([command, *marked_modules()])],
        cwd=ROOT,
        env=os.environ | {"VM_TIMEOUT": "600"},
        capture_output=True,
        text=True,
        timeout=800,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
    assert "virtual machine" not in run.stdout, "a test was left out where it should run:\n" + run.stdout
