"""Runs the tests marked `vm` in a throw-away Debian with systemd and cgroup v2.

The machine is built when it is missing, from the distribution's mirror, in minutes; a run then takes
seconds to begin, though the processor is emulated where there is no KVM.
"""

from __future__ import annotations

import compileall
import os
import platform
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "vm" / "vm.sh"
MARK = "tests.vm.marks"
# The machine runs the packages of our own virtual environment, so its Python has to be of our version.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
SUITE = SUITES.get(sys.version_info[:2], "")
PACKAGES = Path(sysconfig.get_path("purelib"))
BUILD_LIMIT_S = 1200
RUN_LIMIT_S = 1200
TIME_FACTOR = "10"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run the virtual machine"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the virtual machine is for x86-64"),
    pytest.mark.skipif(not SUITE, reason="no release of Debian has this version of Python"),
    pytest.mark.skipif(
        not PACKAGES.is_relative_to(ROOT), reason="the machine sees no more than the checkout"
    ),
]


def marked_modules() -> list[str]:
    """The test modules that have marked tests."""
    modules = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    return sorted(str(path.relative_to(ROOT)) for path in modules if MARK in path.read_text())


def vm(*words: str, limit_s: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `vm.sh`.  After `limit_s` it is ended with all it has started, which counts as failed."""
    command = [str(SCRIPT), *words]
    env = os.environ | {"VM_SUITE": SUITE} | environment
    with subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        ending = [
            threading.Timer(limit_s + extra_s, os.killpg, (process.pid, number))
            for extra_s, number in ((0, signal.SIGTERM), (20, signal.SIGKILL))
        ]
        try:
            for timer in ending:
                timer.start()
            output, _ = process.communicate()
        finally:
            for timer in ending:
                timer.cancel()
    return subprocess.CompletedProcess(command, process.returncode, output)


@pytest.fixture(scope="module")
def machine() -> None:
    """The virtual machine, built, and what it cannot compile for itself: it has our tree read-only."""
    compileall.compile_dir(ROOT / "src", quiet=1)
    if vm("built", limit_s=60).returncode != 0:
        built = vm("build", limit_s=BUILD_LIMIT_S)
        if built.returncode != 0:
            pytest.fail(f"the virtual machine cannot be built:\n{built.stdout[-4000:]}", pytrace=False)


@pytest.mark.timeout(BUILD_LIMIT_S + RUN_LIMIT_S + 120)
@pytest.mark.usefixtures("machine")
def test_the_marked_tests_pass_in_the_virtual_machine() -> None:
    command = (
        f"PYTHONPATH=src:{PACKAGES.relative_to(ROOT)} python3 -B -m pytest -q -m vm -o timeout=300 "
        f"--durations=10 {' '.join(marked_modules())}"
    )

    run = vm(
        "run",
        command,
        limit_s=RUN_LIMIT_S + 60,
        VM_TIMEOUT=str(RUN_LIMIT_S),
        VM_PASS="TEST_TIME_FACTOR",
        TEST_TIME_FACTOR=TIME_FACTOR,
    )

    print(run.stdout)
    assert run.returncode == 0
    assert " passed" in run.stdout
    assert "virtual machine" not in run.stdout, "a test was left out where it should run"
