"""`container create`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.creation import create_container, prepare_body
from wherry.cli.container.options import CREATE_FLAGS, USAGE
from wherry.cli.failures import OPTION_FAILED, CommandFailed
from wherry.cli.flags import Options
from wherry.cli.session import Session

COMMAND = Command(USAGE, CREATE_FLAGS, minimum=1, interspersed=False)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Create a container and print its id."""
    try:
        body = prepare_body(session, options, arguments)
    except CommandFailed as error:
        text = f"wherry: {error}\n\nRun 'wherry create --help' for more information"
        raise CommandFailed(text, OPTION_FAILED) from None
    session.line(create_container(session, options, body))
    return 0
