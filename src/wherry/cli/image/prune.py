"""`image prune`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.flags import Flag, Options
from wherry.cli.pruning import FILTER_FLAG, FORCE_FLAG, confirm, prune_images, total
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("all", "bool", "Remove all unused images, not just dangling ones", short="a"),
        FILTER_FLAG,
        FORCE_FLAG,
    ),
    maximum=0,
)
_DANGLING = "This will remove all dangling images."
_UNUSED = "This will remove all images without at least one container associated to them."


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Remove images that nothing uses."""
    if not options["force"]:
        confirm(session, _UNUSED if options["all"] else _DANGLING)
    report, size = prune_images(session, options["filter"], all_unused=options["all"])
    session.out(report + total(size))
    return 0
