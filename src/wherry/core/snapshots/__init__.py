"""Snapshots: the states of a file system, layer upon layer.

An *active* snapshot is prepared on a parent under a key and can be written to through its
mounts.  Committing it gives it a name and freezes it; then others can be prepared on it.
A *view* is a read-only active one, which cannot be committed.

    prepare(key, parent) ──► active ── commit(name, key) ──► committed
    view(key, parent)    ──► view                            parent of further ones

Keys of active snapshots and names of committed ones are one set.  Committed layers of images
are named by their chain ID, so tenants share them; keys of containers are ids and never
collide.  A snapshot with children cannot be removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from sqlite3 import Connection
from typing import Literal, Protocol

import msgspec

from wherry.core.mounts import Mount
from wherry.errors import AlreadyExists, Conflict, InvalidArgument, NotFound

Kind = Literal["active", "view", "committed"]
Whiteouts = Literal["overlay", "native"]

DEPTH_LIMIT = 128
"""Snapshots in one chain at most: 127 layers of an image and the container's own."""


class SnapshotNotFound(NotFound):
    """No snapshot has this key or name."""

    def __init__(self, key: str) -> None:
        super().__init__(f"snapshot {key} not found")
        self.key = key


class SnapshotExists(AlreadyExists):
    """A snapshot of this key or name is here already."""

    def __init__(self, key: str) -> None:
        super().__init__(f"snapshot {key} already exists")
        self.key = key


class SnapshotInUse(Conflict):
    """Other snapshots stand on this one."""

    def __init__(self, key: str) -> None:
        super().__init__(f"snapshot {key} has children")
        self.key = key


class SnapshotWrongKind(InvalidArgument):
    """The operation needs a snapshot of another kind."""

    def __init__(self, key: str, found: str, expected: str) -> None:
        super().__init__(f"snapshot {key} is {found}, expected {expected}")


class Usage(msgspec.Struct, frozen=True):
    """What a snapshot takes by itself, without its parents: disk bytes and inodes."""

    bytes: int
    inodes: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded about a snapshot; `key` is its name once it is committed."""

    key: str
    kind: Kind
    parent: str | None
    labels: Mapping[str, str]
    created_at_ns: int
    updated_at_ns: int


class Snapshotter(Protocol):
    """Where snapshots are kept."""

    name: str
    """The driver, such as `overlayfs`."""
    whiteouts: Whiteouts
    """How a removal is written in `upper`: as overlayfs does, or by really removing."""

    def prepare(
        self, key: str, parent: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        """A new active snapshot on the committed `parent`, or an empty one.

        Raises:
            SnapshotExists: the key is taken.
            SnapshotNotFound: no such parent.
            SnapshotWrongKind: the parent is not committed.
        """

    def view(
        self, key: str, parent: str | None = None, *, labels: Mapping[str, str] | None = None
    ) -> list[Mount]:
        """A new read-only snapshot; fails as `prepare` does."""

    def mounts(self, key: str, *, volatile: bool = False) -> list[Mount]:
        """The mounts of an active snapshot or a view.

        With `volatile` what is written need not outlive a crash of the machine: where the driver can, nothing
        is synced to the disk then, neither on a program's demand nor when the mount goes.

        Raises:
            SnapshotNotFound: no such snapshot.
            SnapshotWrongKind: it is committed.
        """

    def commit(self, name: str, key: str, *, labels: Mapping[str, str] | None = None) -> None:
        """Freeze the active snapshot `key` under `name`, with its usage.  It must not be mounted.

        When this returns, the files are on the disk.

        Raises:
            SnapshotExists: the name is taken; the active snapshot stays.
            SnapshotNotFound: no such key.
            SnapshotWrongKind: it is not active.
        """

    def remove(self, key: str, *, unless: Callable[[Connection], bool] | None = None) -> bool:
        """Remove a snapshot with its files.  True when it went.

        `unless` is asked in the transaction that removes the record.

        Raises:
            SnapshotNotFound: no such snapshot.
            SnapshotInUse: others stand on it.
        """

    def stat(self, key: str) -> Snapshot:
        """What is recorded about a snapshot.

        Raises:
            SnapshotNotFound: no such snapshot.
        """

    def exists(self, key: str) -> bool:
        """Whether there is a snapshot of that key or name."""

    def walk(self) -> Iterator[Snapshot]:
        """Every snapshot, parents before their children."""

    def usage(self, key: str) -> Usage:
        """What the snapshot takes: recorded for a committed one, measured for an active one.

        Raises:
            SnapshotNotFound: no such snapshot.
        """

    def update_labels(self, key: str, labels: Mapping[str, str | None]) -> Snapshot:
        """Set labels, or remove those whose value is None.

        Raises:
            SnapshotNotFound: no such snapshot.
        """

    def upper(self, key: str) -> Path:
        """The directory that holds this snapshot's own files, changes only where `whiteouts` is overlay.

        Raises:
            SnapshotNotFound: no such snapshot.
        """

    def lowers(self, key: str) -> list[Path]:
        """The directories below `upper`, the nearest first; none where `whiteouts` is native.

        Raises:
            SnapshotNotFound: no such snapshot.
        """

    def cleanup(self) -> int:
        """Remove directories without a record, such as a killed process leaves; returns how many."""
