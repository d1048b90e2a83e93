"""`container restart`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.each import for_each
from wherry.cli.container.stop import STOP_FLAGS, stop_query
from wherry.cli.flags import Options
from wherry.cli.session import Session

COMMAND = Command("[OPTIONS] CONTAINER [CONTAINER...]", STOP_FLAGS, minimum=1)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Restart containers."""
    query = stop_query(options)
    return for_each(session, arguments, lambda name: ("POST", f"/containers/{name}/restart", query))
