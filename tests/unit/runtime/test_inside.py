"""Paths inside a root that is not ours."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.runtime.inside import directory_inside, file_inside, open_inside


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "absolute").symlink_to(outside)
    (root / "climbing").symlink_to("../../../../../.." + str(outside))
    (root / "nowhere").symlink_to("/made/here")
    (root / "loop").symlink_to("loop")
    (root / "file").write_text("")
    return root


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    "path", ["absolute/x/y", "climbing/x", "../../x", "real/../../../x", "/absolute/../../x"]
)
def test_directories_are_made_within_the_root(root: Path, root_fd: int, outside: Path, path: str) -> None:
    before = sorted(root.parent.iterdir())

    fd = directory_inside(root_fd, path)

    assert os.readlink(f"/proc/self/fd/{fd}").startswith(str(root))
    assert list(outside.iterdir()) == []
    assert sorted(root.parent.iterdir()) == before
    os.close(fd)


def test_behind_a_link_to_nowhere_its_target_is_made_within_the_root(root: Path, root_fd: int) -> None:
    os.close(directory_inside(root_fd, "/nowhere/below"))

    assert (root / "made/here/below").is_dir()


def test_a_file_is_made_with_its_parents(root: Path, root_fd: int) -> None:
    os.close(file_inside(root_fd, "/a/b/c"))
    (root / "dangling").symlink_to("/etc/target")
    os.close(file_inside(root_fd, "/dangling"))

    assert (root / "a/b/c").is_file()
    assert (root / "etc/target").is_file()


def test_links_are_an_error_where_none_may_be_followed(root_fd: int) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        open_inside(root_fd, "absolute", os.O_PATH, follow=False)
    with pytest.raises(OSError):
        directory_inside(root_fd, "nowhere/x", follow=False)


@pytest.mark.parametrize("path", ["loop/x", "file/x", "file"])
def test_what_cannot_be_a_directory_is_an_error(root_fd: int, path: str) -> None:
    with pytest.raises(OSError):
        directory_inside(root_fd, path)


def test_no_descriptor_is_left_open(root_fd: int) -> None:
    before = os.listdir("/proc/self/fd")

    for path in ("deep/er/x", "loop/x", "nowhere/1"):
        try:
            os.close(directory_inside(root_fd, path))
        except OSError:
            pass

    assert os.listdir("/proc/self/fd") == before
