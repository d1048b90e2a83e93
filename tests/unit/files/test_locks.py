"""Locks between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from wherry.files.locks import FileLock, Locked, is_locked


def test_a_second_holder_is_refused_and_told_the_path(tmp_path: Path) -> None:
    with FileLock.acquire(tmp_path / "lock"):
        with pytest.raises(Locked, match=r"lock is locked by another process"):
            FileLock.acquire(tmp_path / "lock")


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = FileLock.acquire(tmp_path / "lock")
    lock.release()
    lock.release()

    with FileLock.acquire(tmp_path / "lock"):
        assert is_locked(tmp_path / "lock")

    assert not is_locked(tmp_path / "lock")


def test_a_lock_that_nobody_ever_took_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from wherry.files.locks import FileLock\n"
        "lock = FileLock.acquire(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "lock"],
        env={"PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path / "lock")

        holder.kill()
        holder.wait()

    with FileLock.acquire(tmp_path / "lock"):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        FileLock.acquire(tmp_path / "lock")

    assert not (tmp_path / "elsewhere").exists()
