"""`image history`"""

from __future__ import annotations

import time

from wherry.cli.commands import Command
from wherry.cli.flags import Flag, Options
from wherry.cli.image.push import platform_document
from wherry.cli.records import FORMAT_TEXT, Record, print_records
from wherry.cli.session import Session
from wherry.cli.tables import ellipsis, truncate_id
from wherry.cli.timestamps import SECOND_NS, format_rfc3339
from wherry.cli.units import human_duration, human_size
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "[OPTIONS] IMAGE",
    (
        Flag("format", "string", FORMAT_TEXT),
        Flag("human", "bool", "Print sizes and dates in human readable format", short="H", default=True),
        Flag("no-trunc", "bool", "Don't truncate output"),
        Flag("platform", "string", 'Show the history of this platform ("os[/arch[/variant]]")'),
        Flag("quiet", "bool", "Only show image IDs", short="q"),
    ),
    minimum=1,
    maximum=1,
)
COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
_YEAR_2000 = 946684800  # builders write dates up to here to mean none


class HistoryRecord(Record):
    """One entry of /images/{name}/history."""

    __slots__ = ("_data", "_human", "_now", "_whole")
    type_name = "*formatter.historyContext"

    def __init__(self, data: dict[str, Any], *, whole: bool, human: bool, now: float) -> None:
        self._data = data
        self._whole = whole
        self._human = human
        self._now = now

    def short_id(self) -> str:
        return str(self._data["Id"]) if self._whole else truncate_id(self._data["Id"])

    def created_at(self) -> str:
        return format_rfc3339(int(self._data["Created"]) * SECOND_NS).replace(".000000000", "")

    def created_since(self) -> str:
        if not self._human:
            return self.created_at()
        created = int(self._data["Created"])
        return human_duration(self._now - created) + " ago" if created > _YEAR_2000 else "N/A"

    def created_by(self) -> str:
        text = str(self._data.get("CreatedBy") or "").replace("\t", " ")
        return text if self._whole else ellipsis(text, 45)

    def size(self) -> str:
        size = int(self._data.get("Size") or 0)
        return human_size(size, 3) if self._human else str(size)

    FIELDS = {
        "ID": ("IMAGE", short_id),
        "CreatedSince": ("CREATED", created_since),
        "CreatedAt": ("CREATED AT", created_at),
        "CreatedBy": ("CREATED BY", created_by),
        "Size": ("SIZE", size),
        "Comment": ("COMMENT", lambda record: str(record._data.get("Comment") or "")),
    }


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Show how an image was made, newest step first."""
    query = []
    if options["platform"]:
        query.append(("platform", json.dumps(platform_document(options["platform"]))))
    entries = session.client.json("GET", f"/images/{arguments[0]}/history", query=query) or []
    now = time.time()
    records = [
        HistoryRecord(entry, whole=options["no-trunc"], human=options["human"], now=now) for entry in entries
    ]
    form = options["format"]
    if options["quiet"] and form in ("", "table"):
        session.out("".join(record.short_id() + "\n" for record in records))
        return 0
    fields = dict(HistoryRecord.FIELDS)
    if not options["human"]:
        fields["CreatedSince"] = ("CREATED AT", HistoryRecord.created_at)
    print_records(session, HistoryRecord, records, form, COLUMNS, fields=fields)
    return 0
