"""An image as `images` and `history` show it."""

from __future__ import annotations

from wherry.cli.records import Record
from wherry.cli.tables import truncate_id
from wherry.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = dict[str, Any]

NONE = "<none>"
COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
DIGEST_COLUMNS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")


class ImageRecord(Record):
    """One line of the list: an entry of /images/json under one of its names."""

    __slots__ = ("_data", "_whole", "digest", "now", "repository", "tag")
    type_name = "*formatter.imageContext"

    def __init__(
        self, data: Json, *, repository: str, tag: str, digest: str, whole: bool, now: float
    ) -> None:
        self._data = data
        self.repository, self.tag, self.digest = repository, tag, digest
        self._whole = whole
        self.now = now

    def short_id(self) -> str:
        return str(self._data["Id"]) if self._whole else truncate_id(self._data["Id"])

    def created_since(self) -> str:
        created = int(self._data.get("Created") or 0)
        return human_duration(self.now - created) + " ago" if created > 0 else "N/A"

    def created_at(self) -> str:
        from wherry.cli.timestamps import format_local

        return format_local(int(self._data.get("Created") or 0))

    def size(self) -> str:
        return human_size(self._data.get("Size") or 0, 3)

    def _count(self, member: str) -> int:
        return int(self._data.get(member, -1))

    def containers(self) -> str:
        count = self._count("Containers")
        return "N/A" if count == -1 else str(count)

    def shared_size(self) -> str:
        size = self._count("SharedSize")
        return "N/A" if size == -1 else human_size(size)

    def unique_size(self) -> str:
        shared = self._count("SharedSize")
        return "N/A" if shared == -1 else human_size(int(self._data.get("Size") or 0) - shared)

    FIELDS = {
        "ID": ("IMAGE ID", short_id),
        "Repository": ("REPOSITORY", lambda record: record.repository),
        "Tag": ("TAG", lambda record: record.tag),
        "Digest": ("DIGEST", lambda record: record.digest),
        "CreatedSince": ("CREATED", created_since),
        "CreatedAt": ("CREATED AT", created_at),
        "Size": ("SIZE", size),
        "Containers": ("CONTAINERS", containers),
        "SharedSize": ("SHARED SIZE", shared_size),
        "UniqueSize": ("UNIQUE SIZE", unique_size),
        "VirtualSize": ("VIRTUAL SIZE", lambda record: human_size(record._data.get("Size") or 0)),
    }


def image_records(
    images: list[Json], *, digests: bool, tag_digests: bool, whole: bool, now: float
) -> Iterator[ImageRecord]:
    """The lines of the list: one for each name, and for each digest where digests are shown."""
    for data in images:
        tags = [tag for tag in data.get("RepoTags") or [] if tag != f"{NONE}:{NONE}"]
        names = [name for name in data.get("RepoDigests") or [] if name != f"{NONE}@{NONE}"]
        if not tags and not names:
            yield ImageRecord(data, repository=NONE, tag=NONE, digest=NONE, whole=whole, now=now)
            continue
        by_name: dict[str, tuple[list[str], list[str]]] = {}
        for tag in tags:
            repository, _, suffix = tag.rpartition(":")
            by_name.setdefault(repository, ([], []))[0].append(suffix)
        for name in names:
            repository, _, digest = name.partition("@")
            by_name.setdefault(repository, ([], []))[1].append(digest)
        for repository, (suffixes, known) in by_name.items():
            for tag, digest in _rows(suffixes, known, digests=digests, tag_digests=tag_digests):
                yield ImageRecord(data, repository=repository, tag=tag, digest=digest, whole=whole, now=now)


def _rows(tags: list[str], known: list[str], *, digests: bool, tag_digests: bool) -> list[tuple[str, str]]:
    """Tag and digest of each line for one repository of an image."""
    if not tags and not digests:
        return [(NONE, "")]
    if not digests and not tag_digests:
        return [(tag, NONE) for tag in tags]
    return [(tag, digest) for tag in tags or [NONE] for digest in known or [NONE]]
