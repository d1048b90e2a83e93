"""Bundles on disk."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from wherry.core.mounts import overlay
from wherry.core.tasks import CreateTask, LogTarget, bundle
from wherry.errors import InvalidArgument


def request(task_id: str = "task") -> CreateTask:
    return CreateTask(
        tenant="moby",
        id=task_id,
        spec={"hostname": "box"},
        rootfs=[overlay(["/lower"], upper="/upper", work="/work")],
        log=LogTarget(path="/log", attrs={"tag": "x"}),
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".hidden", "a\0b", "a b", "é", "x" * 129])
def test_a_name_is_one_plain_component(name: str) -> None:
    for tenant, task_id in ((name, "task"), ("moby", name)):
        with pytest.raises(InvalidArgument):
            bundle.bundle_path(Path("/run"), tenant, task_id)


def test_a_bundle_is_made_once(tmp_path: Path) -> None:
    path = bundle.bundle_path(tmp_path, "moby", "task")
    bundle.write_bundle(path, request(), "/cache")

    with pytest.raises(bundle.BundleExists):
        bundle.write_bundle(path, request(), "/cache")


def test_a_bundle_holds_what_was_asked(tmp_path: Path) -> None:
    path = bundle.bundle_path(tmp_path, "moby", "task")

    bundle.write_bundle(path, request(), "/cache")

    asked = json.loads((path / "shim.json").read_text())
    assert json.loads((path / "config.json").read_text()) == {"hostname": "box"}
    assert asked["rootfs"][0]["options"] == ["lowerdir=/lower", "upperdir=/upper", "workdir=/work"]
    assert asked["log"]["attrs"] == {"tag": "x"}
    assert asked["seccomp_cache"] == "/cache"
    assert path.stat().st_mode & 0o777 == 0o700


def test_removing_is_whole_and_may_be_repeated(tmp_path: Path) -> None:
    path = bundle.bundle_path(tmp_path, "moby", "task")
    bundle.write_bundle(path, request(), "/cache")

    bundle.remove_bundle(path)
    bundle.remove_bundle(path)

    assert list(path.parent.iterdir()) == []


def test_finding_finishes_removals(tmp_path: Path) -> None:
    path = bundle.bundle_path(tmp_path, "moby", "task")
    bundle.write_bundle(path, request(), "/cache")
    half = path.parent / ".removed-other"
    half.mkdir()

    assert list(bundle.find_bundles(tmp_path)) == [path]
    assert not half.exists()
    assert list(bundle.find_bundles(tmp_path / "nothing")) == []


def test_a_lock_tells_of_a_living_shim(tmp_path: Path) -> None:
    path = bundle.bundle_path(tmp_path, "moby", "task")
    bundle.write_bundle(path, request(), "/cache")
    assert not bundle.is_locked(path)

    with (path / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert bundle.is_locked(path)

    assert not bundle.is_locked(path)
    assert not bundle.is_locked(tmp_path / "nothing")
