"""`network inspect`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.flags import Flag, Options
from wherry.cli.inspection import FORMAT_FLAG, inspect
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS] NETWORK [NETWORK...]",
    (FORMAT_FLAG, Flag("verbose", "bool", "Verbose output for diagnostics", short="v")),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Show networks as the API describes them."""
    query = [("verbose", "true")] if options["verbose"] else []

    def fetch(name: str) -> bytes:
        return session.client.request("GET", f"/networks/{name}", query=query).body.read()

    return inspect(session, arguments, options["format"], fetch)
