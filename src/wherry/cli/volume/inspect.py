"""`volume inspect`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.flags import Options
from wherry.cli.inspection import FORMAT_FLAG, inspect
from wherry.cli.session import Session

COMMAND = Command("[OPTIONS] VOLUME [VOLUME...]", (FORMAT_FLAG,), minimum=1)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Show volumes as the API describes them."""

    def fetch(name: str) -> bytes:
        return session.client.request("GET", f"/volumes/{name}").body.read()

    return inspect(session, arguments, options["format"], fetch)
