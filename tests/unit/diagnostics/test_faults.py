"""Fault points do what WHERRY_FAULT asks, and nothing without it."""

import errno
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wherry.diagnostics import faults
from wherry.diagnostics.faults import fault_point


@pytest.fixture(autouse=True)
def disarm() -> object:
    yield
    faults.arm("")


def test_an_unarmed_point_does_nothing() -> None:
    fault_point("a.b")


def test_an_errno_is_raised_at_its_point_only() -> None:
    faults.arm("a.b=ENOSPC")

    fault_point("a.bc")
    fault_point("a")
    with pytest.raises(OSError) as caught:
        fault_point("a.b")

    assert caught.value.errno == errno.ENOSPC


def test_a_trigger_fires_once(tmp_path: Path) -> None:
    trigger = tmp_path / "once"
    faults.arm(f"a.b=EIO@{trigger}")

    fault_point("a.b")
    trigger.touch()
    with pytest.raises(OSError):
        fault_point("a.b")
    fault_point("a.b")

    assert not trigger.exists()


def test_a_thread_waits_at_its_point_until_it_is_let_go(tmp_path: Path) -> None:
    trigger, reached = tmp_path / "once", tmp_path / "once.reached"
    trigger.touch()
    faults.arm(f"a.b=WAIT@{trigger}")
    thread = threading.Thread(target=fault_point, args=["a.b"])

    thread.start()
    while not reached.exists():
        time.sleep(0.001)
    fault_point("a.b")  # the trigger is gone: others pass
    was_waiting = thread.is_alive()
    reached.unlink()
    thread.join(10)

    assert was_waiting
    assert not thread.is_alive()


def test_several_points_are_armed_together(tmp_path: Path) -> None:
    faults.arm(f"a.b=EIO@{tmp_path}/absent,c.d=ENOENT")

    fault_point("a.b")
    with pytest.raises(FileNotFoundError):
        fault_point("c.d")


def test_the_default_is_a_kill() -> None:
    code = "from wherry.diagnostics.faults import fault_point; fault_point('a.b'); print('alive')"

    ran = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "src", "WHERRY_FAULT": "a.b"}, capture_output=True
    )

    assert (ran.returncode, ran.stdout) == (-9, b"")
