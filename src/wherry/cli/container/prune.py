"""`container prune`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.flags import Options
from wherry.cli.pruning import FILTER_FLAG, FORCE_FLAG, confirm, prune_containers, total
from wherry.cli.session import Session

COMMAND = Command("[OPTIONS]", (FILTER_FLAG, FORCE_FLAG), maximum=0)


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Remove all stopped containers."""
    if not options["force"]:
        confirm(session, "This will remove all stopped containers.")
    report, size = prune_containers(session, options["filter"])
    session.out(report + total(size))
    return 0
