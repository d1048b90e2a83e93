"""`container inspect`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.flags import Flag, Options
from wherry.cli.inspection import FORMAT_FLAG, inspect
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (FORMAT_FLAG, Flag("size", "bool", "Display total file sizes", short="s")),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Show containers as the API describes them."""
    query = [("size", "1")] if options["size"] else []

    def fetch(name: str) -> bytes:
        return session.client.request("GET", f"/containers/{name}/json", query=query).body.read()

    return inspect(session, arguments, options["format"], fetch)
