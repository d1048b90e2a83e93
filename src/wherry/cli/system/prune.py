"""`system prune`"""

from __future__ import annotations

from wherry.cli import pruning
from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("all", "bool", "Remove all unused images not just dangling ones", short="a"),
        Flag("filter", "filter", 'Remove only what meets the condition (e.g. "label=<key>=<value>")'),
        pruning.FORCE_FLAG,
        Flag("volumes", "bool", "Remove anonymous volumes too"),
    ),
    maximum=0,
)


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Remove stopped containers, unused networks and images, and volumes where asked to."""
    pairs = options["filter"]
    if options["volumes"] and any(name == "until" for name, _ in pairs):
        raise CommandFailed('ERROR: The "until" filter is not supported with "--volumes"')
    if not options["force"]:
        pruning.confirm(session, _warning(options))
    reports = [pruning.prune_containers(session, pairs), pruning.prune_networks(session, pairs)]
    if options["volumes"]:
        reports.append(pruning.prune_volumes(session, pairs))
    reports.append(pruning.prune_images(session, pairs, all_unused=options["all"]))
    session.out("".join(text for text, _ in reports) + pruning.total(sum(size for _, size in reports)))
    return 0


def _warning(options: Options) -> str:
    lines = ["all stopped containers", "all networks not used by at least one container"]
    if options["volumes"]:
        lines.append("all anonymous volumes not used by at least one container")
    lines.append(
        "all images without at least one container associated to them"
        if options["all"]
        else "all dangling images"
    )
    text = "This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
    if options["filter"]:
        text += "\n  Items to be pruned will be filtered with:\n"
        text += "".join(f"  - {name}={value}\n" for name, value in options["filter"])
    return text
