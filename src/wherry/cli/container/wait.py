"""`container wait`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import FAILED
from wherry.cli.flags import Options
from wherry.cli.session import Session
from wherry.client.failures import ErrorResponse

COMMAND = Command("CONTAINER [CONTAINER...]", minimum=1)


def run(session: Session, _options: Options, arguments: list[str]) -> int:
    """Print the exit code of each container once it has stopped."""
    failures = []
    for name in arguments:
        try:
            answer = session.client.json("POST", f"/containers/{name}/wait")
        except ErrorResponse as error:
            failures.append(str(error))
            continue
        session.line(str(answer["StatusCode"]))
    if failures:
        session.err("\n".join(failures) + "\n")
    return FAILED if failures else 0
