"""Both drivers: the shared contract, and what each makes of a parent."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.contract.snapshots import SnapshotContract, commit_layer

from wherry.core.metadata import Metadata
from wherry.core.mounts import lower_directories
from wherry.core.snapshots import Snapshotter
from wherry.core.snapshots.native import NativeSnapshots
from wherry.core.snapshots.overlayfs import OverlaySnapshots


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    metadata = Metadata(tmp_path / "metadata.db")
    yield metadata
    metadata.close()


class TestOverlaySnapshots(SnapshotContract):
    @pytest.fixture
    def reopen(self, tmp_path: Path, metadata: Metadata) -> Callable[[], Snapshotter]:
        return lambda: OverlaySnapshots(tmp_path / "overlayfs", metadata)

    @pytest.fixture
    def store(self, reopen: Callable[[], Snapshotter]) -> Snapshotter:
        return reopen()

    def test_layers_stand_topmost_first_and_the_upper_one_is_its_own(self, store: Snapshotter) -> None:
        commit_layer(store, "one", None, "a")
        commit_layer(store, "two", "one", "b")

        (mount,) = store.prepare("container", "two")

        assert mount.type == "overlay"
        assert lower_directories(mount) == [str(store.upper("two")), str(store.upper("one"))]
        assert f"upperdir={store.upper('container')}" in mount.options
        assert store.lowers("container") == [store.upper("two"), store.upper("one")]

    def test_one_layer_is_bound_and_a_view_is_read_only(self, store: Snapshotter) -> None:
        commit_layer(store, "one", None, "a")

        (view,) = store.view("view", "one")
        (empty,) = store.prepare("empty")

        assert (view.type, view.source, view.options) == ("bind", str(store.upper("one")), ("ro", "rbind"))
        assert (empty.type, empty.options) == ("bind", ("rw", "rbind"))

    def test_a_child_starts_with_the_root_attributes_of_its_parent(self, store: Snapshotter) -> None:
        store.prepare("making")
        root = store.upper("making")
        root.chmod(0o1711)
        os.setxattr(root, "user.note", b"x")
        os.utime(root, ns=(1, 1_000_000_001))
        store.commit("base", "making")

        store.prepare("child", "base")

        status = store.upper("child").stat()
        assert stat.S_IMODE(status.st_mode) == 0o1711
        assert status.st_mtime_ns == 1_000_000_001
        assert os.getxattr(store.upper("child"), "user.note") == b"x"


class TestNativeSnapshots(SnapshotContract):
    @pytest.fixture
    def reopen(self, tmp_path: Path, metadata: Metadata) -> Callable[[], Snapshotter]:
        return lambda: NativeSnapshots(tmp_path / "native", metadata)

    @pytest.fixture
    def store(self, reopen: Callable[[], Snapshotter]) -> Snapshotter:
        return reopen()

    def test_a_child_is_a_whole_copy(self, store: Snapshotter) -> None:
        store.prepare("making")
        root = store.upper("making")
        (root / "d").mkdir(mode=0o750)
        (root / "d/file").write_bytes(b"x" * 5000)
        os.link(root / "d/file", root / "hard")
        (root / "link").symlink_to("d/file")
        os.mkfifo(root / "fifo", 0o640)
        with (root / "holes").open("wb") as file:
            file.seek(10 << 20)
            file.write(b"end")
        os.setxattr(root / "d/file", "user.note", b"x")
        (root / "d/file").chmod(0o4711)
        os.utime(root / "d", ns=(5, 6))
        os.utime(root / "link", ns=(7, 8), follow_symlinks=False)
        store.commit("base", "making")

        store.prepare("child", "base")

        copy = store.upper("child")
        assert (copy / "d/file").read_bytes() == b"x" * 5000
        assert os.path.samefile(copy / "hard", copy / "d/file")
        assert not os.path.samefile(copy / "hard", store.upper("base") / "hard")
        assert os.readlink(copy / "link") == "d/file"
        assert stat.S_ISFIFO((copy / "fifo").stat().st_mode)
        assert (copy / "holes").read_bytes() == bytes(10 << 20) + b"end"
        assert (copy / "holes").stat().st_blocks * 512 < 1 << 20
        assert os.getxattr(copy / "d/file", "user.note") == b"x"
        assert stat.S_IMODE((copy / "d/file").stat().st_mode) == 0o4711
        assert (copy / "d").stat().st_mtime_ns == 6
        assert (copy / "link").lstat().st_mtime_ns == 8

    def test_a_view_shows_its_parent_without_a_copy(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None, "file")

        (mount,) = store.view("view", "base")

        assert mount.source == str(store.upper("base"))
        assert mount.options == ("ro", "rbind")
