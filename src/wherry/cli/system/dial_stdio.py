"""`system dial-stdio`: a connection to the daemon on our standard input and output.

What a client at the other end of ssh runs here.  The end of input ends that direction only.
"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.conversation import Conversation
from wherry.cli.flags import Options
from wherry.cli.session import Session
from wherry.client.api import Hijacked
from wherry.client.transports import connect

COMMAND = Command("", maximum=0)


def run(session: Session, _options: Options, _arguments: list[str]) -> int:
    """Carry bytes between our streams and the daemon until it closes."""
    stream = connect(session.endpoint)
    try:
        Conversation(
            Hijacked(stream, b"", ""),
            input_fd=session.stdin_fd,
            stdout_fd=session.stdout_fd,
            stderr_fd=session.stderr_fd,
            framed=False,
        ).run()
    finally:
        stream.close()
    return 0
