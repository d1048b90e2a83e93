"""`image rm`, better known as `rmi`."""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import FAILED
from wherry.cli.flags import Flag, Options
from wherry.cli.image.push import platform_document
from wherry.cli.session import Session
from wherry.client.failures import ErrorResponse, NotFoundResponse
from wherry.files import json

COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        Flag("force", "bool", "Force removal of the image", short="f"),
        Flag("no-prune", "bool", "Do not delete untagged parents"),
        Flag("platform", "strings", 'Remove only this platform of the image ("os[/arch[/variant]]")'),
    ),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Remove images; with --force a missing one is reported but no failure."""
    query = [(key, "1") for key, flag in (("force", "force"), ("noprune", "no-prune")) if options[flag]]
    query += [("platforms", json.dumps(platform_document(text))) for text in options["platform"]]
    failures, fatal = [], False
    for name in arguments:
        try:
            removed = session.client.json("DELETE", f"/images/{name}", query=query) or []
        except ErrorResponse as error:
            failures.append(str(error))
            fatal = fatal or not isinstance(error, NotFoundResponse)
            continue
        for item in removed:
            deleted = item.get("Deleted")
            session.line(f"Deleted: {deleted}" if deleted else f"Untagged: {item.get('Untagged')}")
    if failures:
        session.err("\n".join(failures) + "\n")
    return FAILED if failures and (fatal or not options["force"]) else 0
