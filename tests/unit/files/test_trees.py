"""Walking, removing and measuring trees that somebody else made."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.files import trees
from wherry.files.trees import empty_directory, remove_tree, tree_usage, walk


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def make_deep(path: Path, depth: int) -> None:
    """A chain of directories deeper than any path can say, with a file in each hundredth."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for level in range(depth):
        os.mkdir("d" * 50, dir_fd=fd)
        below = os.open("d" * 50, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
        if level % 100 == 0:
            os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_walk_in_order_meets_each_name_once_and_directories_first(tmp_path: Path, holder: int) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "f").touch()
    (tmp_path / "a").symlink_to("b")

    assert [visit.path for visit in walk(holder, ordered=True)] == [b"a", b"b", b"b/c", b"b/c/f"]


def test_a_directory_can_be_left_out(tmp_path: Path, holder: int) -> None:
    (tmp_path / "a" / "x").mkdir(parents=True)
    (tmp_path / "b").touch()
    seen = []

    for visit in walk(holder, ordered=True):
        seen.append(visit.path)
        visit.skip = visit.name == b"a"

    assert seen == [b"a", b"b"]


def test_a_tree_deeper_than_a_path_is_walked_with_few_descriptors(tmp_path: Path, holder: int) -> None:
    (tmp_path / "root").mkdir()
    make_deep(tmp_path / "root", 300)
    before = open_descriptors()
    most = 0

    count = 0
    for _ in walk(holder):
        count += 1
        most = max(most, open_descriptors())

    assert count == 1 + 300 + 3
    assert most - before <= trees.HELD_LIMIT + 4
    assert open_descriptors() == before
    remove_tree(holder, b"root")


def test_a_tree_deeper_than_a_path_is_removed(tmp_path: Path, holder: int) -> None:
    (tmp_path / "root").mkdir()
    make_deep(tmp_path / "root", 300)
    before = open_descriptors()

    remove_tree(holder, b"root")

    assert os.listdir(tmp_path) == []
    assert open_descriptors() == before


def test_removing_follows_no_link(tmp_path: Path, holder: int) -> None:
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "file").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "canary")

    remove_tree(holder, b"root")
    (tmp_path / "top").symlink_to(tmp_path / "canary")
    remove_tree(holder, b"top")

    assert sorted(os.listdir(tmp_path)) == ["canary"]
    assert os.listdir(tmp_path / "canary") == ["file"]


def test_removing_what_is_not_there_is_no_error(holder: int) -> None:
    remove_tree(holder, b"nothing")


def test_two_may_remove_the_same_tree(tmp_path: Path, holder: int) -> None:
    for number in range(300):
        (tmp_path / f"root/{number}/a/b").mkdir(parents=True)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            remove_tree(holder, b"root")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert os.listdir(tmp_path) == []


def test_emptying_keeps_the_directory(tmp_path: Path) -> None:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "f").touch()
    fd = os.open(tmp_path / "root", os.O_RDONLY | os.O_DIRECTORY)

    empty_directory(fd)

    os.close(fd)
    assert os.listdir(tmp_path / "root") == []


def test_usage_counts_a_hard_link_once(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_bytes(bytes(100_000))
    alone = tree_usage(tmp_path / "root")

    os.link(tmp_path / "root" / "file", tmp_path / "root" / "again")

    assert tree_usage(tmp_path / "root") == alone
    assert alone[1] == 2
    assert alone[0] >= 100_000
