"""The shim's files: whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.shim import records


@pytest.fixture
def directory(tmp_path: Path) -> int:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd  # type: ignore[misc]
    os.close(fd)


def test_a_missing_record_is_none(directory: int) -> None:
    assert records.read(directory, "record.json") is None


def test_a_record_is_replaced_whole(directory: int, tmp_path: Path) -> None:
    records.write(directory, "record.json", {"pid": 1, "long": "x" * 1000})

    records.write(directory, "record.json", {"pid": 2})

    assert records.read(directory, "record.json") == {"pid": 2}
    assert os.listdir(tmp_path) == ["record.json"]
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o600


def test_a_record_half_written_before_a_crash_changes_nothing(directory: int, tmp_path: Path) -> None:
    records.write(directory, "record.json", {"pid": 1})
    (tmp_path / ".record.json.new").write_text("{")

    assert records.read(directory, "record.json") == {"pid": 1}
    records.write(directory, "record.json", {"pid": 2})
    assert records.read(directory, "record.json") == {"pid": 2}
