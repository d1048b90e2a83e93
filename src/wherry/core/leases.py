"""Leases: what must not be collected yet, although nothing refers to it.

A pull takes a lease before it asks whether content is here, adds what it needs, and gives
the lease back once the image's name refers to it.  A lease that nobody gives back, because
its process was killed, expires.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import msgspec

from wherry.core.metadata import Metadata, Schema
from wherry.errors import AlreadyExists, NotFound
from wherry.files import json
from wherry.oci.digest import Digest

EXPIRES_IN_S = 24 * 3600.0
Kind = Literal["content", "snapshot", "ingest"]

SCHEMA = Schema(
    name="leases",
    migrations=(
        """
        CREATE TABLE leases (
            tenant TEXT NOT NULL,
            id TEXT NOT NULL,
            labels TEXT NOT NULL,
            created_at_ns INTEGER NOT NULL,
            expires_at_ns INTEGER,
            PRIMARY KEY (tenant, id)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE lease_resources (
            tenant TEXT NOT NULL,
            lease TEXT NOT NULL,
            kind TEXT NOT NULL,
            id TEXT NOT NULL,
            PRIMARY KEY (tenant, lease, kind, id),
            FOREIGN KEY (tenant, lease) REFERENCES leases (tenant, id) ON DELETE CASCADE
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX lease_resources_by_id ON lease_resources (kind, id)
        """,
    ),
)


class LeaseNotFound(NotFound):
    """The tenant has no such lease: it was given back or has expired."""

    def __init__(self, lease_id: str) -> None:
        super().__init__(f"lease {lease_id} not found")


class LeaseExists(AlreadyExists):
    """The tenant already has a lease of this id."""

    def __init__(self, lease_id: str) -> None:
        super().__init__(f"lease {lease_id} already exists")


class Resource(msgspec.Struct, frozen=True):
    """A blob by digest, a snapshot by key or name, or an ingest by key."""

    kind: Kind
    id: str


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease; without `expires_at_ns` it lasts until it is deleted."""

    tenant: str
    id: str
    labels: Mapping[str, str]
    created_at_ns: int
    expires_at_ns: int | None


class HeldLease:
    """A lease for the length of a block: what is added stays until the block ends."""

    def __init__(self, leases: Leases, lease: Lease) -> None:
        self._leases = leases
        self.lease = lease

    @property
    def id(self) -> str:
        """The lease's id."""
        return self.lease.id

    def add_content(self, *digests: Digest) -> None:
        """Keep blobs, here already or still to come."""
        self.add(*(Resource("content", digest) for digest in digests))

    def add_snapshot(self, *names: str) -> None:
        """Keep snapshots and, through them, their parents."""
        self.add(*(Resource("snapshot", name) for name in names))

    def add(self, *resources: Resource) -> None:
        """Keep `resources`.

        Raises:
            LeaseNotFound: it has expired.
        """
        self._leases.add(self.lease.tenant, self.lease.id, *resources)


class Leases:
    """The leases of one data root."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        metadata.register(SCHEMA)

    @contextmanager
    def hold(
        self, tenant: str, *, expires_in_s: float = EXPIRES_IN_S, labels: Mapping[str, str] | None = None
    ) -> Iterator[HeldLease]:
        """A lease for the length of the block, whatever its end; a killed process's expires."""
        lease = self.create(tenant, expires_in_s=expires_in_s, labels=labels)
        try:
            yield HeldLease(self, lease)
        finally:
            try:
                self.delete(tenant, lease.id)
            except LeaseNotFound:
                pass  # it expired meanwhile

    def create(
        self,
        tenant: str,
        lease_id: str | None = None,
        *,
        expires_in_s: float | None = EXPIRES_IN_S,
        labels: Mapping[str, str] | None = None,
    ) -> Lease:
        """A new lease, of a random id unless one is given.

        Raises:
            LeaseExists: the id is taken.
        """
        now_ns = time.time_ns()
        lease = Lease(
            tenant=tenant,
            id=lease_id or secrets.token_hex(16),
            labels=dict(labels or {}),
            created_at_ns=now_ns,
            expires_at_ns=None if expires_in_s is None else now_ns + int(expires_in_s * 1e9),
        )
        self._metadata.write(_insert, lease)
        return lease

    def hold_existing(self, tenant: str, lease_id: str) -> HeldLease:
        """The lease of that id, to add resources to; the caller deletes it.

        Raises:
            LeaseNotFound: no such lease.
        """
        query = "SELECT * FROM leases WHERE tenant = ? AND id = ?"
        row = self._metadata.read().execute(query, (tenant, lease_id)).fetchone()
        if row is None:
            raise LeaseNotFound(lease_id)
        return HeldLease(self, _lease(row))

    def add(self, tenant: str, lease_id: str, *resources: Resource) -> None:
        """Keep `resources` for as long as the lease.

        Raises:
            LeaseNotFound: no such lease.
        """
        self._metadata.write(_add, tenant, lease_id, resources)

    def delete(self, tenant: str, lease_id: str) -> None:
        """Give a lease back.

        Raises:
            LeaseNotFound: no such lease.
        """
        self._metadata.write(_delete, tenant, lease_id)

    def list(self, tenant: str | None = None) -> list[Lease]:
        """The leases of a tenant, or of all."""
        query = "SELECT * FROM leases WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, id"
        return [_lease(row) for row in self._metadata.read().execute(query, (tenant,))]

    def resources(self) -> set[Resource]:
        """Everything that any lease keeps."""
        rows = self._metadata.read().execute("SELECT DISTINCT kind, id FROM lease_resources")
        return {Resource(row["kind"], row["id"]) for row in rows}

    def expire(self, now_ns: int) -> int:
        """Delete the leases whose time is over; returns how many."""
        return self._metadata.write(_expire, now_ns)


def is_leased(connection: sqlite3.Connection, kind: Kind, resource_id: str) -> bool:
    """Whether any lease keeps the resource, seen in the transaction of `connection`."""
    query = "SELECT 1 FROM lease_resources WHERE kind = ? AND id = ? LIMIT 1"
    return connection.execute(query, (kind, resource_id)).fetchone() is not None


def _insert(connection: sqlite3.Connection, lease: Lease) -> None:
    labels = json.dumps(dict(lease.labels))
    values = lease.tenant, lease.id, labels, lease.created_at_ns, lease.expires_at_ns
    try:
        connection.execute("INSERT INTO leases VALUES (?, ?, ?, ?, ?)", values)
    except sqlite3.IntegrityError:
        raise LeaseExists(lease.id) from None


def _add(connection: sqlite3.Connection, tenant: str, lease_id: str, resources: tuple[Resource, ...]) -> None:
    rows = [(tenant, lease_id, resource.kind, resource.id) for resource in resources]
    try:
        connection.executemany("INSERT OR IGNORE INTO lease_resources VALUES (?, ?, ?, ?)", rows)
    except sqlite3.IntegrityError:
        raise LeaseNotFound(lease_id) from None


def _delete(connection: sqlite3.Connection, tenant: str, lease_id: str) -> None:
    cursor = connection.execute("DELETE FROM leases WHERE tenant = ? AND id = ?", (tenant, lease_id))
    if cursor.rowcount == 0:
        raise LeaseNotFound(lease_id)


def _expire(connection: sqlite3.Connection, now_ns: int) -> int:
    return connection.execute("DELETE FROM leases WHERE expires_at_ns < ?", (now_ns,)).rowcount


def _lease(row: sqlite3.Row) -> Lease:
    return Lease(
        tenant=row["tenant"],
        id=row["id"],
        labels=json.loads(row["labels"]),
        created_at_ns=row["created_at_ns"],
        expires_at_ns=row["expires_at_ns"],
    )
