"""All containers of the engine, in memory and in the metadata.

The database is read once, at start; afterwards lookups are dictionaries and every change
is written through.  Names are unique here before they are in the table, because a name is
reserved while its container is being made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wherry.engine import records
from wherry.engine.containers.container import Container
from wherry.errors import AlreadyExists, InvalidArgument, NotFound

if TYPE_CHECKING:
    from wherry.core.metadata import Metadata
    from wherry.engine.records import ContainerRecord


class ContainerNotFound(NotFound):
    """No container has this id, prefix or name."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"No such container: {reference}")


class NameInUse(AlreadyExists):
    """Another container has the name."""

    def __init__(self, name: str, container_id: str, *, prefix: str = "") -> None:
        super().__init__(
            f'{prefix}Conflict. The container name "/{name}" is already in use by container '
            f'"{container_id}". You have to remove (or rename) that container to be able to reuse that name.'
        )


class Containers:
    """The engine's containers."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._by_id: dict[str, Container] = {}
        self._names: dict[str, str] = {}

    def load(self) -> None:
        """Read every record; once, before anything else."""
        for record in records.all_containers(self._metadata.read()):
            self._by_id[record.id] = Container(record)
            self._names[record.name] = record.id

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, container_id: str) -> Container | None:
        """The container of a full id."""
        return self._by_id.get(container_id)

    def find(self, reference: str) -> Container:
        """The container of a full id, a name with or without slash, or a unique prefix of an id.

        Raises:
            ContainerNotFound: none.
            InvalidArgument: an empty reference, or a prefix of several.
        """
        if not reference:
            raise InvalidArgument('invalid name or ID supplied: ""')
        found = self._by_id.get(reference) or self._by_id.get(
            self._names.get(reference.removeprefix("/"), "")
        )
        if found is not None:
            return found
        matches = [container for key, container in self._by_id.items() if key.startswith(reference)]
        if len(matches) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {reference}")
        if not matches:
            raise ContainerNotFound(reference)
        return matches[0]

    def has_name(self, name: str) -> bool:
        """Whether a container has, or is about to have, the name."""
        return name in self._names

    def reserve(self, name: str, container_id: str, *, prefix: str = "") -> None:
        """Take a name for a container in the making; `release` gives it back.

        Raises:
            NameInUse: with `prefix` before its text.
        """
        owner = self._names.setdefault(name, container_id)
        if owner != container_id:
            raise NameInUse(name, owner, prefix=prefix)

    def release(self, name: str, container_id: str) -> None:
        """Give a name back, if it is still that container's."""
        if self._names.get(name) == container_id:
            del self._names[name]

    async def insert(self, record: ContainerRecord, *, volumes: list[records.VolumeRecord]) -> Container:
        """Commit a new container whose name is reserved, together with the volumes made for it."""

        def write(connection: sqlite3.Connection) -> None:
            records.upsert_volumes(connection, volumes)
            records.insert_container(connection, record)

        await self._metadata.awrite(write)
        container = Container(record)
        self._by_id[record.id] = container
        return container

    async def save(self, container: Container, record: ContainerRecord) -> None:
        """Commit a changed record; the container shows it from then on."""
        await self._metadata.awrite(records.update_container, record)
        container.record = record

    async def delete(self, container: Container, *, volumes: list[str]) -> None:
        """Forget a container, and volumes that went with it, in one transaction."""

        def write(connection: sqlite3.Connection) -> None:
            records.delete_volumes(connection, volumes)
            records.delete_container(connection, container.id)

        await self._metadata.awrite(write)
        self._by_id.pop(container.id, None)
        self.release(container.record.name, container.id)
