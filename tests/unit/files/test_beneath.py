"""Paths beneath a root: whatever links the tree holds, nothing outside is reached."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.errors import InvalidArgument
from wherry.files.beneath import make_directories, open_beneath, parent_beneath


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "canary").write_text("outside")
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "file").write_text("inside")
    fd = os.open(tmp_path / "root", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def read(root: int, path: str, *, follow: bool = True) -> bytes:
    fd = open_beneath(root, path, os.O_RDONLY, follow=follow)
    with os.fdopen(fd, "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    "path", ["a/file", "/a/file", "../../a/file", "a/b/../../a/file", "link", "absolute"]
)
def test_every_path_starts_and_stays_at_the_root(root: int, tmp_path: Path, path: str) -> None:
    (tmp_path / "root" / "link").symlink_to("../../../a/file")
    (tmp_path / "root" / "absolute").symlink_to("/a/file")

    assert read(root, path) == b"inside"


@pytest.mark.parametrize("target", ["../canary", "/canary", "../../canary"])
def test_a_link_that_would_lead_outside_finds_nothing(root: int, tmp_path: Path, target: str) -> None:
    (tmp_path / "root" / "evil").symlink_to(target)

    with pytest.raises(FileNotFoundError):
        read(root, "evil")


def test_an_absolute_link_to_a_host_path_finds_nothing(root: int, tmp_path: Path) -> None:
    (tmp_path / "root" / "evil").symlink_to(tmp_path / "canary")

    with pytest.raises(FileNotFoundError):
        read(root, "evil")


def test_links_are_refused_where_they_are_not_to_be_followed(root: int, tmp_path: Path) -> None:
    (tmp_path / "root" / "link").symlink_to("a")

    with pytest.raises(OSError, match="symbolic links"):
        read(root, "link/file", follow=False)


def test_a_magic_link_is_refused(root: int, tmp_path: Path) -> None:
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError):
            open_beneath(proc, "self/root/etc/passwd", os.O_RDONLY)
    finally:
        os.close(proc)


def test_the_parent_is_resolved_and_the_last_name_is_not(root: int, tmp_path: Path) -> None:
    (tmp_path / "root" / "link").symlink_to("a")

    fd, name = parent_beneath(root, "/link/new")

    assert name == "new"
    assert os.path.samestat(os.fstat(fd), (tmp_path / "root" / "a").stat())
    os.close(fd)


@pytest.mark.parametrize("path", ["", "/", ".", "..", "a/..", "a/."])
def test_a_path_without_a_last_name_has_no_parent(root: int, path: str) -> None:
    with pytest.raises(InvalidArgument):
        parent_beneath(root, path)


def test_missing_directories_are_made_and_present_ones_opened(root: int, tmp_path: Path) -> None:
    os.close(make_directories(root, "/a/b/c/d"))
    os.close(make_directories(root, "a/b/c/d"))

    assert (tmp_path / "root" / "a" / "b" / "c" / "d").is_dir()


def test_directories_are_made_behind_a_link_inside_the_root(root: int, tmp_path: Path) -> None:
    (tmp_path / "root" / "link").symlink_to("/a")

    os.close(make_directories(root, "link/x/y"))

    assert (tmp_path / "root" / "a" / "x" / "y").is_dir()


@pytest.mark.parametrize("target", ["../canary-dir", "/nowhere"])
def test_no_directory_is_made_through_a_dangling_link(root: int, tmp_path: Path, target: str) -> None:
    (tmp_path / "root" / "evil").symlink_to(target)

    with pytest.raises(OSError):
        make_directories(root, "evil/x")

    assert sorted(os.listdir(tmp_path)) == ["canary", "root"]


def test_a_file_in_the_way_is_an_error(root: int) -> None:
    with pytest.raises(NotADirectoryError):
        make_directories(root, "a/file/x")


def test_climbing_is_refused_when_directories_are_made(root: int) -> None:
    with pytest.raises(InvalidArgument):
        make_directories(root, "a/../../x")
