"""The records of snapshots, and the life cycle that every driver shares.

    <root>/<id>/fs      the files of a snapshot: changes only, or a whole tree, by driver
    <root>/<id>/work    what the driver needs beside them

Directories are named by small integers, so that 127 of them fit into one page of mount
options.  A directory is made before its record.  A committed one, which others may look for by name, goes
after its record: a crash leaves at most a directory without a record, which `cleanup` removes.  An active one
goes before: on a full disk there may be no room to write that the record is gone until the files are.  Who
made it removes it again after a crash, as it would a whole one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from wherry.core.disk import disk_failures
from wherry.core.metadata import Metadata, Schema
from wherry.core.mounts import Mount
from wherry.core.snapshots import (
    DEPTH_LIMIT,
    Kind,
    Snapshot,
    SnapshotExists,
    SnapshotInUse,
    SnapshotNotFound,
    Snapshotter,
    SnapshotWrongKind,
    Usage,
    Whiteouts,
)
from wherry.diagnostics.faults import fault_point
from wherry.errors import InvalidArgument
from wherry.files import json
from wherry.files.trees import DIRECTORY, remove_tree, sync_file_system, tree_usage

SCHEMA = Schema(
    name="snapshots",
    migrations=(
        """
        CREATE TABLE snapshots (
            driver TEXT NOT NULL,
            id INTEGER NOT NULL,
            key TEXT NOT NULL,
            kind TEXT NOT NULL,
            parent INTEGER,
            labels TEXT NOT NULL,
            created_at_ns INTEGER NOT NULL,
            updated_at_ns INTEGER NOT NULL,
            bytes INTEGER,
            inodes INTEGER,
            PRIMARY KEY (driver, id),
            UNIQUE (driver, key),
            FOREIGN KEY (driver, parent) REFERENCES snapshots (driver, id)
        ) STRICT;
        CREATE INDEX snapshots_by_parent ON snapshots (driver, parent)
        """,
    ),
)


class RecordedSnapshots(Snapshotter):
    """A driver's records; the driver says how a directory is filled and mounted."""

    name: str
    whiteouts: Whiteouts

    def __init__(self, root: Path, metadata: Metadata) -> None:
        self._root = root
        self._metadata = metadata
        metadata.register(SCHEMA)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        """Directories that are being made or removed, which `cleanup` leaves alone."""
        self._ending: set[int] = set()
        """Snapshots that are being committed or removed, each by one at a time."""
        self._ended = threading.Condition(self._lock)
        self._last_id = max([self._highest_recorded(), *self._directories()])

    @abstractmethod
    def _fill(self, directory: Path, parent: Path | None) -> None:
        """Make what a new active snapshot needs in its empty directory; `parent` is its parent's."""

    @abstractmethod
    def _mounts(self, kind: Kind, directory: Path, parents: list[Path]) -> list[Mount]:
        """The mounts of a snapshot in `directory` on `parents`, the nearest first."""

    def prepare(
        self, key: str, parent: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        return self._create("active", key, parent, labels or {})

    def view(
        self, key: str, parent: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        return self._create("view", key, parent, labels or {})

    def mounts(self, key: str, *, volatile: bool = False) -> list[Mount]:
        chain = self._chain(key)
        if chain[0]["kind"] == "committed":
            raise SnapshotWrongKind(key, "committed", "active or view")
        directory, parents = self._places(chain)
        mounts = self._mounts(chain[0]["kind"], directory, parents)
        return self._make_volatile(mounts, directory) if volatile else mounts

    def _make_volatile(self, mounts: list[Mount], directory: Path) -> list[Mount]:
        """`mounts` of the snapshot in `directory` without a sync, where the driver can do that."""
        del directory
        return mounts

    def commit(self, name: str, key: str, *, labels: Mapping[str, str] | None = None) -> None:
        with self._alone_with(key) as row:
            if row["kind"] != "active":
                raise SnapshotWrongKind(key, row["kind"], "active")
            if self.exists(name):
                raise SnapshotExists(name)
            files = self._root / str(row["id"]) / "fs"
            with disk_failures(f"cannot commit snapshot {key}"):
                usage = tree_usage(files)
                # A name promises whole files: after a power failure nobody would unpack the layer again.
                sync_file_system(files)
                fault_point("snapshot.synced")
            self._metadata.write(_commit, self.name, name, key, dict(labels or {}), usage, time.time_ns())
            fault_point("snapshot.committed")
            self._discard(self._root / str(row["id"]), "work")

    def remove(self, key: str, *, unless: Callable[[sqlite3.Connection], bool] | None = None) -> bool:
        with self._alone_with(key) as row, self._at_work_on(row["id"]):
            number = row["id"]
            # What `unless` may keep must be whole, and so must what has a name.
            if unless is None and row["kind"] != "committed":
                self._discard(self._root, str(number))
                fault_point("snapshot.files-removed")
            if not self._metadata.write(_delete, self.name, number, key, unless):
                return False
            fault_point("snapshot.record-removed")
            self._discard(self._root, str(number))
        return True

    @contextmanager
    def _alone_with(self, key: str) -> Iterator[sqlite3.Row]:
        """The record of a snapshot that nobody else ends meanwhile, be it by a commit or a removal."""
        number = _row(self._metadata.read(), self.name, key)["id"]
        with self._ended:
            self._ended.wait_for(lambda: number not in self._ending)
            self._ending.add(number)
        try:
            row = _row(self._metadata.read(), self.name, key)
            if row["id"] != number:
                raise SnapshotNotFound(key)  # it went meanwhile, and another took its key
            yield row
        finally:
            with self._ended:
                self._ending.discard(number)
                self._ended.notify_all()

    def stat(self, key: str) -> Snapshot:
        return _snapshot(_row(self._metadata.read(), self.name, key))

    def exists(self, key: str) -> bool:
        query = "SELECT 1 FROM snapshots WHERE driver = ? AND key = ?"
        return self._metadata.read().execute(query, (self.name, key)).fetchone() is not None

    def walk(self) -> Iterator[Snapshot]:
        # A parent is always older than its children, and ids only grow.
        rows = self._metadata.read().execute(f"{_SELECT} WHERE s.driver = ? ORDER BY s.id", (self.name,))
        return (_snapshot(row) for row in rows.fetchall())

    def usage(self, key: str) -> Usage:
        row = _row(self._metadata.read(), self.name, key)
        if row["bytes"] is not None:
            return Usage(row["bytes"], row["inodes"])
        try:
            return Usage(*tree_usage(self._root / str(row["id"]) / "fs"))
        except FileNotFoundError:
            return Usage(0, 0)  # its removal was cut short

    def update_labels(self, key: str, labels: Mapping[str, str | None]) -> Snapshot:
        return self._metadata.write(_update_labels, self.name, key, labels, time.time_ns())

    def upper(self, key: str) -> Path:
        row = _row(self._metadata.read(), self.name, key)
        return self._root / str(row["id"]) / "fs"

    def lowers(self, key: str) -> list[Path]:
        if self.whiteouts == "native":
            return []
        _, parents = self._places(self._chain(key))
        return [parent / "fs" for parent in parents]

    def cleanup(self) -> int:
        # In this order: whatever is made meanwhile is not listed, or still busy, or recorded by then.
        found = self._directories()
        with self._lock:
            busy = set(self._busy)
        rows = self._metadata.read().execute("SELECT id FROM snapshots WHERE driver = ?", (self.name,))
        recorded = {row["id"] for row in rows}
        orphans = [number for number in found if number not in busy and number not in recorded]
        for number in orphans:
            self._discard(self._root, str(number))
        return len(orphans)

    def _create(self, kind: Kind, key: str, parent: str | None, labels: Mapping[str, str]) -> list[Mount]:
        chain = [] if parent is None else self._chain(parent)
        if chain and chain[0]["kind"] != "committed":
            raise SnapshotWrongKind(parent or "", chain[0]["kind"], "committed")
        if len(chain) >= DEPTH_LIMIT:
            raise InvalidArgument(f"snapshot {key}: more than {DEPTH_LIMIT - 1} layers")
        if self.exists(key):
            raise SnapshotExists(key)
        parents = [self._root / str(row["id"]) for row in chain]
        with disk_failures(f"cannot make snapshot {key}"), self._new_directory() as directory:
            if kind == "active" or not parents:
                self._fill(directory, parents[0] if parents else None)
            fault_point("snapshot.directory-made")
            number = int(directory.name)
            parent_id = chain[0]["id"] if chain else None
            self._metadata.write(
                _insert, self.name, number, key, kind, parent, parent_id, dict(labels), time.time_ns()
            )
        return self._mounts(kind, directory, parents)

    @contextmanager
    def _new_directory(self) -> Iterator[Path]:
        """A new directory, which goes again if the block fails."""
        with self._lock:
            self._last_id += 1
            number = self._last_id
        with self._at_work_on(number):
            try:
                directory = self._root / str(number)
                directory.mkdir(mode=0o700)
                yield directory
            except BaseException:
                self._discard(self._root, str(number))
                raise

    @contextmanager
    def _at_work_on(self, number: int) -> Iterator[None]:
        with self._lock:
            self._busy.add(number)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(number)

    def _chain(self, key: str) -> list[sqlite3.Row]:
        """The snapshot and all below it, the nearest first."""
        connection = self._metadata.read()
        _row(connection, self.name, key)
        return connection.execute(_CHAIN, {"driver": self.name, "key": key}).fetchall()

    def _places(self, chain: list[sqlite3.Row]) -> tuple[Path, list[Path]]:
        first, *parents = (self._root / str(row["id"]) for row in chain)
        return first, parents

    def _directories(self) -> list[int]:
        return [int(name) for name in os.listdir(self._root) if name.isdecimal()]

    def _highest_recorded(self) -> int:
        query = "SELECT coalesce(max(id), 0) AS last FROM snapshots WHERE driver = ?"
        last: int = self._metadata.read().execute(query, (self.name,)).fetchone()["last"]
        return last

    def _discard(self, directory: Path, name: str) -> None:
        fd = os.open(directory, DIRECTORY)
        try:
            remove_tree(fd, name)
        finally:
            os.close(fd)


_SELECT = """
    SELECT s.*, p.key AS parent_key
    FROM snapshots s LEFT JOIN snapshots p ON p.driver = s.driver AND p.id = s.parent
"""
_CHAIN = """
    WITH RECURSIVE chain (id, kind, parent, depth) AS (
        SELECT id, kind, parent, 0 FROM snapshots WHERE driver = :driver AND key = :key
        UNION ALL
        SELECT s.id, s.kind, s.parent, c.depth + 1
        FROM snapshots s JOIN chain c ON s.id = c.parent WHERE s.driver = :driver
    )
    SELECT id, kind FROM chain ORDER BY depth
"""


def _row(connection: sqlite3.Connection, driver: str, key: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        f"{_SELECT} WHERE s.driver = ? AND s.key = ?", (driver, key)
    ).fetchone()
    if row is None:
        raise SnapshotNotFound(key)
    return row


def _insert(
    connection: sqlite3.Connection,
    driver: str,
    number: int,
    key: str,
    kind: Kind,
    parent: str | None,
    parent_id: int | None,
    labels: dict[str, str],
    now_ns: int,
) -> None:
    # The parent may have gone since it was looked up, and another may have come under its name.
    if parent is not None and _row(connection, driver, parent)["id"] != parent_id:
        raise SnapshotNotFound(parent)
    values = driver, number, key, kind, parent_id, json.dumps(labels), now_ns, now_ns
    try:
        connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", values)
    except sqlite3.IntegrityError:
        raise SnapshotExists(key) from None


def _commit(
    connection: sqlite3.Connection,
    driver: str,
    name: str,
    key: str,
    labels: dict[str, str],
    usage: tuple[int, int],
    now_ns: int,
) -> None:
    row = _row(connection, driver, key)
    merged = json.dumps({**json.loads(row["labels"]), **labels})
    try:
        connection.execute(
            "UPDATE snapshots SET key = ?, kind = 'committed', labels = ?, updated_at_ns = ?, bytes = ?,"
            " inodes = ? WHERE driver = ? AND id = ?",
            (name, merged, now_ns, *usage, driver, row["id"]),
        )
    except sqlite3.IntegrityError:
        raise SnapshotExists(name) from None


def _delete(
    connection: sqlite3.Connection,
    driver: str,
    number: int,
    key: str,
    unless: Callable[[sqlite3.Connection], bool] | None,
) -> bool:
    if _row(connection, driver, key)["id"] != number:
        raise SnapshotNotFound(key)  # it went meanwhile, and another took its key
    if unless is not None and unless(connection):
        return False
    try:
        connection.execute("DELETE FROM snapshots WHERE driver = ? AND id = ?", (driver, number))
    except sqlite3.IntegrityError:
        raise SnapshotInUse(key) from None
    return True


def _update_labels(
    connection: sqlite3.Connection, driver: str, key: str, changes: Mapping[str, str | None], now_ns: int
) -> Snapshot:
    row = _row(connection, driver, key)
    merged = {**json.loads(row["labels"]), **changes}
    labels = json.dumps({name: value for name, value in merged.items() if value is not None})
    connection.execute(
        "UPDATE snapshots SET labels = ?, updated_at_ns = ? WHERE driver = ? AND id = ?",
        (labels, now_ns, driver, row["id"]),
    )
    return _snapshot(_row(connection, driver, key))


def _snapshot(row: sqlite3.Row) -> Snapshot:
    return Snapshot(
        key=row["key"],
        kind=row["kind"],
        parent=row["parent_key"],
        labels=json.loads(row["labels"]),
        created_at_ns=row["created_at_ns"],
        updated_at_ns=row["updated_at_ns"],
    )
