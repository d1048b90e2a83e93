"""`volume ls`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.port import natural_key
from wherry.cli.filters import filters_query
from wherry.cli.flags import Flag, Options
from wherry.cli.records import FORMAT_TEXT, print_records
from wherry.cli.session import Session
from wherry.cli.volume.record import COLUMNS, VolumeRecord

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("filter", "filter", 'Show only what meets the condition (e.g. "dangling=true")', short="f"),
        Flag("format", "string", FORMAT_TEXT),
        Flag("quiet", "bool", "Only display volume names", short="q"),
    ),
    maximum=0,
)


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """List volumes."""
    answer = session.client.json("GET", "/volumes", query=filters_query(options["filter"]))
    volumes = sorted(answer.get("Volumes") or [], key=lambda volume: natural_key(volume["Name"]))
    form = options["format"] or ("" if options["quiet"] else session.config.text("volumesFormat"))
    if options["quiet"] and form in ("", "table"):
        session.out("".join(f"{volume['Name']}\n" for volume in volumes))
        return 0
    print_records(session, VolumeRecord, [VolumeRecord(volume) for volume in volumes], form, COLUMNS)
    return 0
