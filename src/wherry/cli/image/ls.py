"""`image ls`, better known as `images`."""

from __future__ import annotations

import time

from wherry.cli.commands import Command
from wherry.cli.filters import filters_query
from wherry.cli.flags import Flag, Options
from wherry.cli.image.record import COLUMNS, DIGEST_COLUMNS, ImageRecord, image_records
from wherry.cli.records import FORMAT_TEXT, print_records
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    (
        Flag("all", "bool", "Show all images (default hides intermediate images)", short="a"),
        Flag("digests", "bool", "Show digests"),
        Flag("filter", "filter", "Show only what meets the condition", short="f"),
        Flag("format", "string", FORMAT_TEXT),
        Flag("no-trunc", "bool", "Don't truncate output"),
        Flag("quiet", "bool", "Only show image IDs", short="q"),
    ),
    maximum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """List images."""
    pairs = list(options["filter"])
    if arguments:
        pairs.append(("reference", arguments[0]))
    query = [("all", "1")] if options["all"] else []
    query += filters_query(pairs)
    images = session.client.json("GET", "/images/json", query=query) or []
    form = options["format"] or ("" if options["quiet"] else session.config.text("imagesFormat"))
    records = list(
        image_records(
            images,
            digests=options["digests"],
            tag_digests="{{.Digest}}" in form,
            whole=options["no-trunc"],
            now=time.time(),
        )
    )
    if options["quiet"] and form in ("", "table"):
        session.out("".join(record.short_id() + "\n" for record in records))
        return 0
    columns = DIGEST_COLUMNS if options["digests"] else COLUMNS
    print_records(session, ImageRecord, records, form, columns)
    return 0
