"""One daemon for each root."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wherry.daemon.locks import RootInUse, held_root, pidfile
from wherry.errors import Conflict

HOLD = "import sys; from pathlib import Path; from wherry.daemon.locks import held_root\n{}"


@contextmanager
def another_process(code: str, argument: Path) -> Iterator[int]:
    """A process that does `code` and waits."""
    script = HOLD.format(code)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(argument)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    try:
        yield process.pid
    finally:
        process.communicate("\n", timeout=10)


HOLD_ROOT = "with held_root(Path(sys.argv[1])): print('held', flush=True); input()"


def test_a_root_is_held_by_one_process_which_is_named(tmp_path: Path) -> None:
    with another_process(HOLD_ROOT, tmp_path) as pid:
        with pytest.raises(RootInUse) as caught, held_root(tmp_path):
            pass

    assert str(caught.value) == f"{tmp_path} is in use by another wherryd (pid {pid})"


def test_who_is_refused_a_root_is_told_what_can_be_done(tmp_path: Path) -> None:
    hold = HOLD_ROOT.replace("argv[1])", "argv[1]), addresses='unix:///a'", 1)
    with another_process(hold, tmp_path) as pid, pytest.raises(RootInUse) as caught, held_root(tmp_path):
        pass

    assert caught.value.hint == (
        f"speak to it at unix:///a, or end it with: kill {pid}, "
        "or give this one roots of its own with --data-root and --exec-root"
    )


def test_a_root_is_free_when_its_holder_is_gone(tmp_path: Path) -> None:
    with another_process(HOLD_ROOT, tmp_path):
        pass

    with held_root(tmp_path):
        assert (tmp_path / "wherryd.lock").read_text() == f"{os.getpid()}\n"


def test_a_holder_that_is_ending_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import time\nwith held_root(Path(sys.argv[1])): print('held', flush=True); time.sleep(0.3)\ninput()"
    )
    with another_process(code, tmp_path):
        started = time.monotonic()

        with held_root(tmp_path, wait_s=10):
            assert time.monotonic() - started < 5


def test_a_pidfile_is_there_for_the_length_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pid"

    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"

    assert not path.exists()


@pytest.mark.parametrize("text", ["1\n", "999999999\n", "nonsense", ""])
def test_a_pidfile_of_no_daemon_is_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pid"
    path.write_text(text)

    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_pidfile_of_a_living_daemon_is_left(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with another_process("print('held', flush=True); input()  # wherry.daemon.main", tmp_path) as pid:
        path.write_text(f"{pid}\n")

        with pytest.raises(Conflict, match=f"process with PID {pid} is still running"), pidfile(path):
            pass

    assert path.read_text() == f"{pid}\n"
