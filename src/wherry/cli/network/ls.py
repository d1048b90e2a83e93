"""`network ls`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.port import natural_key
from wherry.cli.filters import filters_query
from wherry.cli.flags import Flag, Options
from wherry.cli.records import FORMAT_TEXT, Record, print_records
from wherry.cli.session import Session
from wherry.cli.tables import truncate_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("filter", "filter", 'Show only what meets the condition (e.g. "driver=bridge")', short="f"),
        Flag("format", "string", FORMAT_TEXT),
        Flag("no-trunc", "bool", "Do not truncate the output"),
        Flag("quiet", "bool", "Only display network IDs", short="q"),
    ),
    maximum=0,
)
COLUMNS = ("ID", "Name", "Driver", "Scope")


class NetworkRecord(Record):
    """One entry of /networks."""

    __slots__ = ("_data", "_whole")
    type_name = "*network.networkContext"

    def __init__(self, data: dict[str, Any], *, whole: bool) -> None:
        self._data = data
        self._whole = whole

    def short_id(self) -> str:
        return str(self._data["Id"]) if self._whole else truncate_id(self._data["Id"])

    def text(self, member: str) -> str:
        return str(self._data.get(member) or "")

    def flag(self, member: str) -> str:
        return "true" if self._data.get(member) else "false"

    def labels(self) -> str:
        labels = self._data.get("Labels") or {}
        return ",".join(f"{key}={labels[key]}" for key in sorted(labels))

    def label(self, name: str) -> str:
        return str((self._data.get("Labels") or {}).get(name, ""))

    def created_at(self) -> str:
        """Go's own form of a time, in the zone it came in."""
        date, _, clock = self.text("Created").partition("T")
        if clock.endswith("Z"):
            return f"{date} {clock[:-1]} +0000 UTC"
        zone = clock[-6:].replace(":", "")
        return f"{date} {clock[:-6]} {zone} {zone}"

    METHODS = {"Label": label}
    FIELDS = {
        "ID": ("NETWORK ID", short_id),
        "Name": ("NAME", lambda record: record.text("Name")),
        "Driver": ("DRIVER", lambda record: record.text("Driver")),
        "Scope": ("SCOPE", lambda record: record.text("Scope")),
        "IPv4": ("IPV4", lambda record: record.flag("EnableIPv4")),
        "IPv6": ("IPV6", lambda record: record.flag("EnableIPv6")),
        "Internal": ("INTERNAL", lambda record: record.flag("Internal")),
        "Labels": ("LABELS", labels),
        "CreatedAt": ("CREATED AT", created_at),
    }


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """List networks."""
    networks = session.client.json("GET", "/networks", query=filters_query(options["filter"])) or []
    networks.sort(key=lambda network: natural_key(network["Name"]))
    records = [NetworkRecord(network, whole=options["no-trunc"]) for network in networks]
    form = options["format"] or ("" if options["quiet"] else session.config.text("networksFormat"))
    if options["quiet"] and form in ("", "table"):
        session.out("".join(record.short_id() + "\n" for record in records))
        return 0
    print_records(session, NetworkRecord, records, form, COLUMNS)
    return 0
