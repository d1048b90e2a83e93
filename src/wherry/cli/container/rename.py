"""`container rename`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Options
from wherry.cli.session import Session
from wherry.client.failures import ErrorResponse

COMMAND = Command("CONTAINER NEW_NAME", minimum=2, maximum=2)


def run(session: Session, _options: Options, arguments: list[str]) -> int:
    """Give a container another name."""
    old, new = (name.strip() for name in arguments)
    if not old or not new:
        raise CommandFailed("error: neither old nor new names may be empty")
    try:
        session.client.send("POST", f"/containers/{old}/rename", query=[("name", new)])
    except ErrorResponse as error:
        session.err(f"{error}\n")
        raise CommandFailed(f"Error: failed to rename container named {old}") from None
    return 0
