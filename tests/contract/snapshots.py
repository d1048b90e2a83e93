"""What every snapshotter does, seen through its directories."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.core.snapshots import (
    DEPTH_LIMIT,
    SnapshotExists,
    SnapshotInUse,
    SnapshotNotFound,
    Snapshotter,
    SnapshotWrongKind,
)
from wherry.errors import InvalidArgument


def commit_layer(store: Snapshotter, name: str, parent: str | None, *files: str) -> None:
    """A committed snapshot with `files` in it."""
    store.prepare(f"making {name}", parent)
    for file in files:
        path = store.upper(f"making {name}") / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    store.commit(name, f"making {name}")


class SnapshotContract:
    """What every snapshotter does."""

    def test_a_committed_snapshot_keeps_its_files_and_has_no_mounts(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None, "etc/hostname")

        assert (store.upper("base") / "etc/hostname").read_text() == "base"
        assert store.stat("base").kind == "committed"
        assert not store.exists("making base")
        with pytest.raises(SnapshotWrongKind):
            store.mounts("base")

    def test_every_active_snapshot_has_one_mount(self, store: Snapshotter) -> None:
        commit_layer(store, "one", None, "a")
        commit_layer(store, "two", "one", "b")

        for prepare in (store.prepare, store.view):
            for number, parent in enumerate((None, "one", "two")):
                key = f"{prepare.__name__} {number}"
                mounts = prepare(key, parent)
                assert len(mounts) == 1
                assert mounts == store.mounts(key)

    def test_writing_to_a_child_leaves_the_parent_alone(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None, "file")
        store.prepare("child", "base")

        (store.upper("child") / "file").write_text("changed")

        assert (store.upper("base") / "file").read_text() == "base"

    def test_a_key_is_taken_once_whatever_its_kind(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None)
        store.prepare("active", "base")

        for key in ("active", "base"):
            for prepare in (store.prepare, store.view):
                with pytest.raises(SnapshotExists, match=f"snapshot {key} already exists"):
                    prepare(key, "base")
        with pytest.raises(SnapshotExists):
            store.commit("base", "active")
        assert store.stat("active").kind == "active"

    def test_only_committed_snapshots_are_parents(self, store: Snapshotter) -> None:
        store.prepare("active")

        with pytest.raises(SnapshotWrongKind, match="is active, expected committed"):
            store.prepare("child", "active")
        with pytest.raises(SnapshotNotFound):
            store.prepare("child", "nothing")
        assert not store.exists("child")

    def test_only_active_snapshots_are_committed(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None)
        store.view("view", "base")

        for key in ("base", "view"):
            with pytest.raises(SnapshotWrongKind):
                store.commit("name", key)
        with pytest.raises(SnapshotNotFound):
            store.commit("name", "nothing")

    def test_a_parent_cannot_go_before_its_children(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None, "file")
        store.prepare("child", "base")

        with pytest.raises(SnapshotInUse, match="snapshot base has children"):
            store.remove("base")
        assert (store.upper("base") / "file").exists()
        assert store.remove("child")
        assert store.remove("base")

        assert list(store.walk()) == []

    def test_removing_takes_the_files_along(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None, "a/b/c")
        path = store.upper("base")

        store.remove("base")

        assert not path.exists()
        with pytest.raises(SnapshotNotFound):
            store.remove("base")

    def test_a_removal_can_be_forbidden_at_the_last_moment(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None, "file")

        assert not store.remove("base", unless=lambda _connection: True)

        assert (store.upper("base") / "file").exists()

    def test_the_walk_meets_parents_first(self, store: Snapshotter) -> None:
        commit_layer(store, "one", None)
        commit_layer(store, "two", "one")
        store.prepare("three", "two")

        assert [(snapshot.key, snapshot.parent) for snapshot in store.walk()] == [
            ("one", None),
            ("two", "one"),
            ("three", "two"),
        ]

    def test_usage_is_measured_while_active_and_recorded_when_committed(self, store: Snapshotter) -> None:
        store.prepare("active")
        empty = store.usage("active")
        (store.upper("active") / "file").write_bytes(os.urandom(100_000))

        grown = store.usage("active")
        store.commit("base", "active")

        assert grown.inodes == empty.inodes + 1
        assert grown.bytes >= empty.bytes + 100_000
        assert store.usage("base") == grown

    def test_labels_survive_a_commit_and_can_be_changed(self, store: Snapshotter) -> None:
        store.prepare("active", labels={"a": "1", "b": "2"})
        store.commit("base", "active", labels={"b": "3"})

        snapshot = store.update_labels("base", {"a": None, "c": "4"})

        assert snapshot.labels == {"b": "3", "c": "4"}
        assert store.stat("base") == snapshot

    def test_one_hundred_and_twenty_seven_layers_are_allowed_and_no_more(self, store: Snapshotter) -> None:
        parent = None
        for number in range(DEPTH_LIMIT - 1):
            commit_layer(store, f"layer {number}", parent)
            parent = f"layer {number}"

        store.prepare("container", parent)
        store.commit("one too many", "container")
        with pytest.raises(InvalidArgument, match="more than 127 layers"):
            store.prepare("next", "one too many")

    def test_a_directory_that_a_crash_left_is_cleaned_up(self, store: Snapshotter) -> None:
        commit_layer(store, "base", None, "file")
        orphan = store.upper("base").parent.parent / "999"
        (orphan / "fs" / "x").mkdir(parents=True)

        assert store.cleanup() == 1

        assert not orphan.exists()
        assert (store.upper("base") / "file").exists()

    def test_cleaning_up_leaves_alone_what_is_being_made(self, store: Snapshotter) -> None:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(10):
                    key = f"{number} {turn}"
                    store.prepare(key)
                    (store.upper(key) / "file").touch()
                    if turn % 2:
                        store.remove(key)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            store.cleanup()

        assert failures == []
        assert all((store.upper(snapshot.key) / "file").exists() for snapshot in store.walk())

    def test_ids_are_not_used_again_after_a_restart(
        self, store: Snapshotter, reopen: Callable[[], Snapshotter]
    ) -> None:
        commit_layer(store, "base", None, "file")
        orphan = store.upper("base").parent.parent / "7"
        orphan.mkdir()

        again = reopen()
        again.prepare("next", "base")

        assert again.upper("next").parent.name == "8"
        assert (again.upper("base") / "file").read_text() == "base"

    @pytest.mark.parametrize("key", ["sha256:abc", "a b/../c", "x" * 1000, "ü"])
    def test_a_key_never_becomes_a_path(self, store: Snapshotter, key: str) -> None:
        store.prepare(key)

        path: Path = store.upper(key)
        assert path.parent.name.isdecimal()
        assert store.exists(key)
