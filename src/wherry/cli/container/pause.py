"""`container pause`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.each import for_each
from wherry.cli.flags import Options
from wherry.cli.session import Session

COMMAND = Command("CONTAINER [CONTAINER...]", minimum=1)


def run(session: Session, _options: Options, arguments: list[str]) -> int:
    """Pause containers."""
    return for_each(session, arguments, lambda name: ("POST", f"/containers/{name}/pause", ()))
