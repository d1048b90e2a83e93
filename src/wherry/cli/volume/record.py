"""A volume as `volume ls` shows it."""

from __future__ import annotations

from wherry.cli.records import Record
from wherry.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLUMNS = ("Driver", "Name")


class VolumeRecord(Record):
    """One entry of /volumes."""

    __slots__ = ("_data",)
    type_name = "*formatter.volumeContext"

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def text(self, member: str) -> str:
        return str(self._data.get(member) or "")

    def labels(self) -> str:
        labels = self._data.get("Labels") or {}
        return ",".join(f"{key}={labels[key]}" for key in sorted(labels))

    def label(self, name: str) -> str:
        return str((self._data.get("Labels") or {}).get(name, ""))

    def links(self) -> str:
        usage = self._data.get("UsageData")
        return str(usage["RefCount"]) if usage else "N/A"

    def size(self) -> str:
        usage = self._data.get("UsageData")
        return human_size(usage["Size"]) if usage else "N/A"

    METHODS = {"Label": label}
    FIELDS = {
        "Name": ("VOLUME NAME", lambda record: record.text("Name")),
        "Driver": ("DRIVER", lambda record: record.text("Driver")),
        "Scope": ("SCOPE", lambda record: record.text("Scope")),
        "Mountpoint": ("MOUNTPOINT", lambda record: record.text("Mountpoint")),
        "Labels": ("LABELS", labels),
        "Links": ("LINKS", links),
        "Size": ("SIZE", size),
        "Group": ("GROUP", lambda _record: "N/A"),
        "Availability": ("AVAILABILITY", lambda _record: "N/A"),
        "Status": ("STATUS", lambda _record: "N/A"),
    }
