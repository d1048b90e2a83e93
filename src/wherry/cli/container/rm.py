"""`container rm`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.each import for_each
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session
from wherry.client.failures import NotFoundResponse

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (
        Flag("force", "bool", "Remove also a running container, killing it first", short="f"),
        Flag("link", "bool", "Remove the specified link", short="l"),
        Flag("volumes", "bool", "Remove the container's anonymous volumes", short="v"),
    ),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Remove containers; with --force a missing one is no failure."""
    query = [
        (key, "1") for key, flag in (("v", "volumes"), ("link", "link"), ("force", "force")) if options[flag]
    ]
    names = [name.strip("/") for name in arguments]
    if not all(names):
        raise CommandFailed("container name cannot be empty")
    forgive = NotFoundResponse if options["force"] else None
    return for_each(session, names, lambda name: ("DELETE", f"/containers/{name}", query), forgive=forgive)
