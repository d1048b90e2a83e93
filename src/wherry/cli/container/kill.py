"""`container kill`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.each import for_each
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (Flag("signal", "string", "Signal to send to the container", short="s"),),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Send a signal to containers, SIGKILL unless another is named."""
    query = [("signal", options["signal"])] if options["signal"] else []
    return for_each(session, arguments, lambda name: ("POST", f"/containers/{name}/kill", query))
