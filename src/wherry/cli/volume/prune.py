"""`volume prune`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.pruning import FORCE_FLAG, confirm, prune_volumes, total
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("all", "bool", "Remove all unused volumes, not just anonymous ones", short="a"),
        Flag("filter", "filter", 'Remove only what meets the condition (e.g. "label=<label>")'),
        FORCE_FLAG,
    ),
    maximum=0,
)
_ANONYMOUS = "This will remove anonymous local volumes not used by at least one container."
_ALL = "This will remove all local volumes not used by at least one container."


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Remove volumes that no container uses."""
    pairs = list(options["filter"])
    if options["all"]:
        if any(name == "all" for name, _ in pairs):
            raise CommandFailed("conflicting options: cannot specify both --all and --filter all=1")
        pairs.append(("all", "true"))
    if not options["force"]:
        confirm(session, _ALL if options["all"] else _ANONYMOUS)
    report, size = prune_volumes(session, pairs)
    session.out(report + total(size))
    return 0
