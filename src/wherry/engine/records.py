"""What the engine remembers of a container and a volume, and the tables it stands in.

One row a container: the record as JSON, beside the id and the name that make it unique.
Records are values; a change replaces the row.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from wherry.api.types import ContainerConfig, EndpointSettings, HostConfig
from wherry.core.metadata import Schema

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]

SCHEMA = Schema(
    name="engine",
    migrations=(
        """
        CREATE TABLE engine_containers (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            record BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE engine_volumes (
            name TEXT PRIMARY KEY,
            record BLOB NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    ),
)


class MountPoint(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One mount of a container as decided at create.

    `mode` is the option text as given.  `source` is a host path; for a volume it is the
    volume's data directory.  `read_only` is how far a read-only bind reaches: "recursive"
    as far as the kernel can, "forced" or not at all, "top" for this one mount.
    """

    type: Literal["bind", "volume", "tmpfs"]
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    recursive: bool = True
    read_only: Literal["recursive", "forced", "top"] = "recursive"
    copy_up: bool = False
    anonymous: bool = False
    labels: dict[str, str] = {}
    driver_options: dict[str, str] = {}
    tmpfs_options: tuple[str, ...] = ()
    create_source: bool = False
    listed: bool = True


class ContainerState(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Where a container is in its life; times in nanoseconds since 1970, 0 is never."""

    status: Status = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at_ns: int = 0
    finished_at_ns: int = 0
    restart_count: int = 0
    stopped_by_user: bool = False


class ContainerRecord(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A container: what was asked for, what that was resolved to, and its state."""

    id: str
    name: str
    created_at_ns: int
    path: str
    args: list[str]
    config: ContainerConfig
    host_config: HostConfig
    image_id: str
    manifest: dict[str, object]
    chain_id: str
    platform: str = "linux"
    driver: str = "overlayfs"
    mounts: tuple[MountPoint, ...] = ()
    endpoints: dict[str, EndpointSettings] = {}
    state: ContainerState = ContainerState()

    @property
    def running(self) -> bool:
        """Whether its process exists, paused or not."""
        return self.state.status in {"running", "paused"}


class VolumeRecord(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A volume of the local driver."""

    name: str
    created_at_ns: int
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    anonymous: bool = False


_container_decoder = msgspec.json.Decoder(ContainerRecord)
_volume_decoder = msgspec.json.Decoder(VolumeRecord)


def insert_container(connection: sqlite3.Connection, record: ContainerRecord) -> None:
    """Add a record.

    Raises:
        sqlite3.IntegrityError: the id or the name is taken.
    """
    connection.execute(
        "INSERT INTO engine_containers VALUES (?, ?, ?)",
        (record.id, record.name, msgspec.json.encode(record)),
    )


def update_container(connection: sqlite3.Connection, record: ContainerRecord) -> None:
    """Replace a record; one that has been deleted stays deleted."""
    connection.execute(
        "UPDATE engine_containers SET name = ?, record = ? WHERE id = ?",
        (record.name, msgspec.json.encode(record), record.id),
    )


def delete_container(connection: sqlite3.Connection, container_id: str) -> None:
    """Forget a container."""
    connection.execute("DELETE FROM engine_containers WHERE id = ?", (container_id,))


def all_containers(connection: sqlite3.Connection) -> list[ContainerRecord]:
    """Every record, oldest first."""
    rows = connection.execute("SELECT record FROM engine_containers").fetchall()
    return sorted((_container_decoder.decode(row[0]) for row in rows), key=lambda r: r.created_at_ns)


def upsert_volumes(connection: sqlite3.Connection, volumes: list[VolumeRecord]) -> None:
    """Add volumes, or replace those of the same name."""
    rows = [(volume.name, msgspec.json.encode(volume)) for volume in volumes]
    connection.executemany("INSERT OR REPLACE INTO engine_volumes VALUES (?, ?)", rows)


def delete_volumes(connection: sqlite3.Connection, names: list[str]) -> None:
    """Forget volumes."""
    connection.executemany("DELETE FROM engine_volumes WHERE name = ?", [(name,) for name in names])


def all_volumes(connection: sqlite3.Connection) -> list[VolumeRecord]:
    """Every volume, by name."""
    rows = connection.execute("SELECT record FROM engine_volumes ORDER BY name").fetchall()
    return [_volume_decoder.decode(row[0]) for row in rows]
