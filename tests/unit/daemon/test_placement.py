"""The daemon's place in the cgroup that a service manager gave it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.daemon import placement


def test_the_daemon_and_what_outlives_it_get_leaves_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "wherryd").mkdir()

    leaf = placement.divide(tmp_path)

    assert leaf == tmp_path / "spawner"
    assert leaf.is_dir()
    assert (tmp_path / "wherryd" / "cgroup.procs").read_text() == "0"


def test_a_cgroup_that_cannot_be_divided_is_left_as_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wherryd").touch()

    assert placement.divide(tmp_path) is None

    assert "cannot divide" in capfd.readouterr().err


@pytest.mark.parametrize(
    "variables",
    [{}, {"INVOCATION_ID": "5e0c", "SYSTEMD_EXEC_PID": str(os.getppid())}],
    ids=["started by hand", "started by a service"],
)
def test_only_a_service_has_a_subtree(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("INVOCATION_ID", "SYSTEMD_EXEC_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert placement.own_subtree() is None
