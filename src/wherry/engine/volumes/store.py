"""The volumes of the local driver, in memory and in the metadata.

    <volumes root>/<name>/_data     what is mounted

The directory stands before the record and goes after it, so that a record always has its
directory; one without a record is removed when the engine restores.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.diagnostics.faults import fault_point
from wherry.engine import records
from wherry.engine.records import VolumeRecord
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.files.trees import DIRECTORY, remove_tree

if TYPE_CHECKING:
    from wherry.core.metadata import Metadata

DRIVER = "local"
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LATER = _FIRST | frozenset("_.-")
_NAME_LIMIT = 255


class VolumeNotFound(NotFound):
    """No volume has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class VolumeInUse(Conflict):
    """Containers mount the volume."""

    def __init__(self, name: str, container_ids: Iterable[str]) -> None:
        super().__init__(f"remove {name}: volume is in use - [{', '.join(container_ids)}]")


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a volume, and so of a directory.

    Raises:
        InvalidArgument: with Docker's text.
    """
    if len(name) == 1:
        raise InvalidArgument(
            "volume name is too short, names should be at least two alphanumeric characters"
        )
    if not name or name[0] not in _FIRST or not _LATER.issuperset(name) or len(name) > _NAME_LIMIT:
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


class Volumes:
    """The engine's volumes."""

    def __init__(self, metadata: Metadata, root: Path) -> None:
        self._metadata = metadata
        self._records: dict[str, VolumeRecord] = {}
        self.root = root
        self.filling = asyncio.Lock()
        """Held while a volume gets its first content, so that it gets it once."""
        self.claims: dict[str, frozenset[str]] = {}
        """Names that containers in the making are about to mount, by the container's id."""

    def load(self) -> None:
        """Read every record; once, before anything else."""
        self._records = {record.name: record for record in records.all_volumes(self._metadata.read())}

    def __iter__(self) -> Iterator[VolumeRecord]:
        return iter(sorted(self._records.values(), key=lambda record: record.name))

    def get(self, name: str) -> VolumeRecord:
        """The volume of that name.

        Raises:
            VolumeNotFound: none.
        """
        try:
            return self._records[name]
        except KeyError:
            raise VolumeNotFound(name) from None

    def find(self, name: str) -> VolumeRecord | None:
        """The volume of that name, or None."""
        return self._records.get(name)

    def data(self, name: str) -> Path:
        """The directory that is mounted."""
        return self.root / name / "_data"

    def new_name(self) -> str:
        """A name for an anonymous volume."""
        return secrets.token_hex(32)

    def make(
        self,
        name: str,
        *,
        labels: dict[str, str],
        options: dict[str, str],
        anonymous: bool = False,
    ) -> VolumeRecord:
        """Make the directory of a new volume and return the record, which is not committed yet.  Blocks."""
        directory = self.root / name
        os.makedirs(directory, mode=0o701, exist_ok=True)
        os.chmod(directory, 0o701)
        fault_point("volumes.directory-made")
        data = directory / "_data"
        os.makedirs(data, mode=0o755, exist_ok=True)
        os.chmod(data, 0o755)
        if anonymous:
            labels = {ANONYMOUS_LABEL: "", **labels}
        return VolumeRecord(
            name=name, created_at_ns=time.time_ns(), labels=labels, options=options, anonymous=anonymous
        )

    def adopt(self, volumes: Iterable[VolumeRecord]) -> None:
        """Know volumes that have been committed."""
        self._records.update((volume.name, volume) for volume in volumes)

    def forget(self, names: Iterable[str]) -> None:
        """No longer know volumes whose records have been deleted."""
        for name in names:
            self._records.pop(name, None)

    async def commit(self, volume: VolumeRecord) -> None:
        """Write the record of a volume that `make` made."""
        await self._metadata.awrite(records.upsert_volumes, [volume])
        self.adopt([volume])

    async def delete(self, name: str) -> None:
        """Delete the record; the directory is the caller's to remove next."""
        await self._metadata.awrite(records.delete_volumes, [name])
        self.forget([name])

    def discard(self, name: str) -> None:
        """Remove the directory of a volume without a record.  Blocks."""
        root_fd = os.open(self.root, DIRECTORY)
        try:
            fault_point("volumes.root-opened")
            remove_tree(root_fd, name)
        finally:
            os.close(root_fd)

    def stray(self) -> list[str]:
        """Directories without a record, such as a killed engine leaves."""
        return [entry.name for entry in os.scandir(self.root) if entry.name not in self._records]
