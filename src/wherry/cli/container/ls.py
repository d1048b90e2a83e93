"""`container ls`, better known as `ps`."""

from __future__ import annotations

import time

from wherry.cli.commands import Command
from wherry.cli.container.record import COLUMNS, ContainerRecord
from wherry.cli.filters import filters_query
from wherry.cli.flags import Flag, Options
from wherry.cli.records import FORMAT_TEXT, print_records
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("all", "bool", "Show all containers (default shows just running)", short="a"),
        Flag("filter", "filter", "Show only what meets the condition", short="f"),
        Flag("format", "string", FORMAT_TEXT),
        Flag("last", "int", "Show the n last created containers, in any state", short="n", default=-1),
        Flag("latest", "bool", "Show the latest created container, in any state", short="l"),
        Flag("no-trunc", "bool", "Don't truncate output"),
        Flag("quiet", "bool", "Only display container IDs", short="q"),
        Flag("size", "bool", "Display total file sizes", short="s"),
    ),
    maximum=0,
)
_BLAME = ("failed to parse template", "failed to execute template")
_RAW = (
    "container_id: {{.ID}}\\nimage: {{.Image}}\\ncommand: {{.Command}}\\ncreated_at: {{.CreatedAt}}\\n"
    "state: {{- pad .State 1 0}}\\nstatus: {{- pad .Status 1 0}}\\nnames: {{.Names}}\\n"
    "labels: {{- pad .Labels 1 0}}\\nports: {{- pad .Ports 1 0}}\\n"
)


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """List containers."""
    form = options["format"] or ("" if options["quiet"] else session.config.text("psFormat"))
    size = options["size"] or (".Size" in form and "size" not in options.given)
    query = []
    if options["all"]:
        query.append(("all", "1"))
    limit = 1 if options["latest"] else options["last"]
    if limit != -1:
        query.append(("limit", str(limit)))
    if size:
        query.append(("size", "1"))
    query += filters_query(options["filter"])
    containers = session.client.json("GET", "/containers/json", query=query) or []
    now = time.time()
    records = [ContainerRecord(data, whole=options["no-trunc"], now=now) for data in containers]
    columns = (*COLUMNS, "Size") if options["size"] else COLUMNS
    if options["quiet"] and form not in ("", "table", "raw"):
        session.err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
        form = ""
    if options["quiet"] and form in ("", "table"):
        session.out("".join(record.short_id() + "\n" for record in records))
        return 0
    if form == "raw":
        form = "container_id: {{.ID}}" if options["quiet"] else _RAW + ("size: {{.Size}}\\n" if size else "")
    print_records(session, ContainerRecord, records, form, columns, blame=_BLAME)
    return 0
