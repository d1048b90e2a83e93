"""The image records, in the metadata database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

import msgspec

from wherry.core.metadata import Metadata, Schema
from wherry.errors import AlreadyExists, InvalidArgument, NotFound
from wherry.files import json
from wherry.oci.descriptor import Descriptor

SCHEMA = Schema(
    name="images",
    migrations=(
        """
        CREATE TABLE images (
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            digest TEXT NOT NULL,
            target TEXT NOT NULL,
            labels TEXT NOT NULL,
            created_at_ns INTEGER NOT NULL,
            updated_at_ns INTEGER NOT NULL,
            PRIMARY KEY (tenant, name)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX images_by_digest ON images (tenant, digest)
        """,
    ),
)


class ImageNotFound(NotFound):
    """The tenant has no image of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"image {name} not found")
        self.name = name


class ImageExists(AlreadyExists):
    """The tenant already has an image of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"image {name} already exists")
        self.name = name


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A name, and what it points to."""

    name: str
    target: Descriptor
    labels: Mapping[str, str] = {}
    created_at_ns: int = 0
    updated_at_ns: int = 0


class ImageStore:
    """The names of one data root."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        metadata.register(SCHEMA)

    def create(self, tenant: str, image: Image) -> Image:
        """Point a new name at its target.

        Raises:
            ImageExists: the name is taken.
        """
        return self._metadata.write(_insert, tenant, image, time.time_ns())

    def update(self, tenant: str, image: Image) -> Image:
        """Point a name at another target, with other labels.

        Raises:
            ImageNotFound: no such name.
        """
        return self._metadata.write(_update, tenant, image, time.time_ns())

    def put(self, tenant: str, image: Image) -> Image:
        """Create or update, whichever it takes, in one step."""
        return self._metadata.write(_put, tenant, image, time.time_ns())

    def get(self, tenant: str, name: str) -> Image:
        """The image of that exact name.

        Raises:
            ImageNotFound: no such name.
        """
        return _get(self._metadata.read(), tenant, name)

    def tenants(self) -> list[str]:
        """Every tenant that has an image."""
        rows = self._metadata.read().execute("SELECT DISTINCT tenant FROM images ORDER BY tenant")
        return [row["tenant"] for row in rows]

    def list(self, tenant: str | None = None, *, digest: str | None = None) -> list[Image]:
        """The images of a tenant, or of all, by name; with `digest` those that point to it."""
        query = "SELECT * FROM images WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR digest = ?2)"
        rows = self._metadata.read().execute(f"{query} ORDER BY tenant, name", (tenant, digest))
        return [_image(row) for row in rows]

    def delete(self, tenant: str, name: str) -> Image:
        """Remove a name and return what it was; its content stays for garbage collection.

        Raises:
            ImageNotFound: no such name.
        """
        return self._metadata.write(_delete, tenant, name)


def _insert(connection: sqlite3.Connection, tenant: str, image: Image, now_ns: int) -> Image:
    if not image.name:
        raise InvalidArgument("an image needs a name")
    new = msgspec.structs.replace(image, created_at_ns=image.created_at_ns or now_ns, updated_at_ns=now_ns)
    try:
        connection.execute("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?)", _row(tenant, new))
    except sqlite3.IntegrityError:
        raise ImageExists(image.name) from None
    return new


def _update(connection: sqlite3.Connection, tenant: str, image: Image, now_ns: int) -> Image:
    old = _get(connection, tenant, image.name)
    new = msgspec.structs.replace(image, created_at_ns=old.created_at_ns, updated_at_ns=now_ns)
    connection.execute("REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?)", _row(tenant, new))
    return new


def _put(connection: sqlite3.Connection, tenant: str, image: Image, now_ns: int) -> Image:
    try:
        return _update(connection, tenant, image, now_ns)
    except ImageNotFound:
        return _insert(connection, tenant, image, now_ns)


def _get(connection: sqlite3.Connection, tenant: str, name: str) -> Image:
    query = "SELECT * FROM images WHERE tenant = ? AND name = ?"
    row = connection.execute(query, (tenant, name)).fetchone()
    if row is None:
        raise ImageNotFound(name)
    return _image(row)


def _delete(connection: sqlite3.Connection, tenant: str, name: str) -> Image:
    image = _get(connection, tenant, name)
    connection.execute("DELETE FROM images WHERE tenant = ? AND name = ?", (tenant, name))
    return image


def _row(tenant: str, image: Image) -> tuple[str, str, str, str, str, int, int]:
    target = json.dumps(image.target.to_dict())
    labels = json.dumps(dict(image.labels))
    return (
        tenant,
        image.name,
        image.target.digest,
        target,
        labels,
        image.created_at_ns,
        image.updated_at_ns,
    )


def _image(row: sqlite3.Row) -> Image:
    return Image(
        name=row["name"],
        target=Descriptor.from_dict(json.loads(row["target"])),
        labels=json.loads(row["labels"]),
        created_at_ns=row["created_at_ns"],
        updated_at_ns=row["updated_at_ns"],
    )
