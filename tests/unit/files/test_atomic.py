"""Atomic writes: whole or not there, whatever goes wrong between."""

import os
import stat
from pathlib import Path

import pytest

from wherry.files.atomic import publish, write_all, write_atomic


def test_a_file_is_replaced_whole_and_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"a longer one that was here before")

    write_atomic(path, b"new", mode=0o640)

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()  # cannot be replaced by a file

    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "record.json", b"new")

    assert os.listdir(tmp_path) == ["record.json"]


def test_a_name_without_a_directory_is_written_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    write_atomic("here", b"x")

    assert (tmp_path / "here").read_bytes() == b"x"


def test_publishing_moves_the_finished_file(tmp_path: Path) -> None:
    (tmp_path / "draft").write_bytes(b"done")

    publish(tmp_path / "draft", tmp_path / "final")

    assert os.listdir(tmp_path) == ["final"]
    assert (tmp_path / "final").read_bytes() == b"done"


def test_publishing_what_is_not_there_fails_and_keeps_the_target(tmp_path: Path) -> None:
    (tmp_path / "final").write_bytes(b"old")

    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "draft", tmp_path / "final")

    assert (tmp_path / "final").read_bytes() == b"old"


def test_all_is_written_though_the_kernel_takes_less_at_a_time() -> None:
    data = os.urandom(300_000)
    reader, writer = os.pipe()
    os.set_blocking(writer, True)
    got = bytearray()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        write_all(writer, data)
        os._exit(0)
    os.close(writer)

    while chunk := os.read(reader, 1 << 16):
        got += chunk

    os.close(reader)
    assert os.waitpid(pid, 0)[1] == 0
    assert got == data
