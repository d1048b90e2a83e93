"""`image inspect`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.flags import Flag, Options
from wherry.cli.image.push import platform_document
from wherry.cli.inspection import FORMAT_FLAG, inspect
from wherry.cli.session import Session
from wherry.files import json

COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    (FORMAT_FLAG, Flag("platform", "string", 'Inspect this platform of the image ("os[/arch[/variant]]")')),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Show images as the API describes them."""
    query = []
    if options["platform"]:
        query.append(("platform", json.dumps(platform_document(options["platform"]))))

    def fetch(name: str) -> bytes:
        return session.client.request("GET", f"/images/{name}/json", query=query).body.read()

    return inspect(session, arguments, options["format"], fetch)
