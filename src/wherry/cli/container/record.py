"""A container as `ps` shows it.

Spec: Docker's formatter context of containers; sections 2 and 3 of its texts are go-units'.
"""

from __future__ import annotations

import time

from wherry.cli.flags import quoted
from wherry.cli.records import Record
from wherry.cli.tables import ellipsis, truncate_id
from wherry.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


class ContainerRecord(Record):
    """One entry of /containers/json."""

    __slots__ = ("_data", "_whole", "now")
    type_name = "*formatter.ContainerContext"

    def __init__(self, data: Json, *, whole: bool, now: float | None = None) -> None:
        self._data = data
        self._whole = whole  # --no-trunc
        self.now = time.time() if now is None else now

    def short_id(self) -> str:
        return str(self._data["Id"]) if self._whole else truncate_id(self._data["Id"])

    def names(self) -> str:
        names = [name.removeprefix("/") for name in self._data.get("Names") or []]
        if not self._whole:  # other entries are aliases of links: parent/alias
            names = [name for name in names if "/" not in name][:1] or names
        return ",".join(names)

    def image(self) -> str:
        image = str(self._data.get("Image") or "")
        if not image:
            return "<no image>"
        if self._whole:
            return image
        short = truncate_id(str(self._data.get("ImageID") or ""))
        if short == truncate_id(image):
            return short
        if "@" not in image and not image.startswith(("docker.io/", "index.docker.io/")):
            return image
        return image.partition("@")[0].removeprefix("docker.io/").removeprefix("library/")

    def command(self) -> str:
        command = str(self._data.get("Command") or "")
        return quoted(command if self._whole else ellipsis(command, 20))

    def created_at(self) -> str:
        from wherry.cli.timestamps import format_local

        return format_local(int(self._data.get("Created") or 0))

    def running_for(self) -> str:
        return human_duration(self.now - int(self._data.get("Created") or 0)) + " ago"

    def ports(self) -> str:
        return displayable_ports(self._data.get("Ports") or [])

    def size(self) -> str:
        shown = human_size(self._data.get("SizeRw") or 0, 3)
        root = self._data.get("SizeRootFs") or 0
        return f"{shown} (virtual {human_size(root, 3)})" if root > 0 else shown

    def labels(self) -> str:
        labels = self._data.get("Labels") or {}
        return ",".join(f"{key}={labels[key]}" for key in sorted(labels))

    def label(self, name: str) -> str:
        return str((self._data.get("Labels") or {}).get(name, ""))

    def mounts(self) -> str:
        names = []
        for mount in self._data.get("Mounts") or []:
            name = str(mount.get("Name") or mount.get("Source") or "")
            names.append(name if self._whole else ellipsis(name, 15))
        return ",".join(names)

    def local_volumes(self) -> str:
        return str(sum(mount.get("Driver") == "local" for mount in self._data.get("Mounts") or []))

    def networks(self) -> str:
        settings = self._data.get("NetworkSettings") or {}
        return ",".join(sorted(settings.get("Networks") or {}))

    def state(self) -> str:
        return str(self._data.get("State") or "")

    def status(self) -> str:
        return str(self._data.get("Status") or "")

    def health(self) -> str:
        return str((self._data.get("Health") or {}).get("Status") or "")

    def platform(self) -> object:
        platform = (self._data.get("ImageManifestDescriptor") or {}).get("platform")
        if not platform:
            return None
        parts = [platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", "")]
        return "/".join(part for part in parts if part)

    METHODS = {"Label": label}
    FIELDS = {
        "ID": ("CONTAINER ID", short_id),
        "Names": ("NAMES", names),
        "Image": ("IMAGE", image),
        "Command": ("COMMAND", command),
        "CreatedAt": ("CREATED AT", created_at),
        "RunningFor": ("CREATED", running_for),
        "Ports": ("PORTS", ports),
        "Size": ("SIZE", size),
        "Labels": ("LABELS", labels),
        "Mounts": ("MOUNTS", mounts),
        "LocalVolumes": ("LOCAL VOLUMES", local_volumes),
        "Networks": ("NETWORKS", networks),
        "State": ("STATE", state),
        "Status": ("STATUS", status),
        "HealthStatus": ("HEALTH", health),
        "Platform": ("PLATFORM", platform),
    }


def displayable_ports(ports: list[Json]) -> str:
    """`0.0.0.0:80->80/tcp, 9000-9002/tcp`: runs of equal mappings merged, other host ports last."""
    ordered = sorted(
        ports,
        key=lambda p: (p.get("PrivatePort", 0), p.get("IP", ""), p.get("PublicPort", 0), p.get("Type", "")),
    )
    merged: list[str] = []
    mapped: list[str] = []
    runs: dict[str, tuple[int, int]] = {}
    for port in ordered:
        private, public, kind = port.get("PrivatePort", 0), port.get("PublicPort", 0), port.get("Type", "")
        address = port.get("IP", "")
        if address:
            shown = f"[{address}]" if ":" in address else address
            if public != private:
                mapped.append(f"{shown}:{public}->{private}/{kind}")
                continue
        key = f"{shown}/{kind}" if address else kind
        first, last = runs.get(key, (private, private))
        if key in runs and private != last + 1:
            merged.append(_run(key, first, last))
            first = private
        runs[key] = (first, private)
    merged += [_run(key, *runs[key]) for key in runs]
    return ", ".join(merged + mapped)


def _run(key: str, first: int, last: int) -> str:
    address, slash, kind = key.rpartition("/")
    span = f"{first}" if first == last else f"{first}-{last}"
    return f"{address}:{span}->{span}/{kind}" if slash else f"{span}/{kind}"
