"""`volume rm`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.each import for_each
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    (Flag("force", "bool", "Force the removal of one or more volumes", short="f"),),
    minimum=1,
    description="Remove one or more volumes. A volume that a container uses cannot be removed.",
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Remove volumes."""
    query = [("force", "1")] if options["force"] else []
    return for_each(session, arguments, lambda name: ("DELETE", f"/volumes/{name}", query))
