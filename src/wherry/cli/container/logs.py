"""`container logs`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.demultiplex import Demultiplexer
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session, write_all
from wherry.cli.timestamps import to_query

_TIME_FORMS = ' (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'
COMMAND = Command(
    "[OPTIONS] CONTAINER",
    (
        Flag("details", "bool", "Show extra details provided to logs"),
        Flag("follow", "bool", "Follow log output", short="f"),
        Flag("since", "string", "Show logs since timestamp" + _TIME_FORMS),
        Flag("tail", "string", "Number of lines to show from the end of the logs", short="n", default="all"),
        Flag("timestamps", "bool", "Show timestamps", short="t"),
        Flag("until", "string", "Show logs before a timestamp" + _TIME_FORMS),
    ),
    minimum=1,
    maximum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Print the log of a container, its two streams on ours."""
    container = session.client.json("GET", f"/containers/{arguments[0]}/json")
    query = [("stdout", "1"), ("stderr", "1"), ("tail", options["tail"])]
    for name in ("since", "until"):
        if options[name]:
            try:
                query.append((name, to_query(options[name])))
            except ValueError as error:
                raise CommandFailed(f'invalid value for "{name}": {error}') from None
    query += [(name, "1") for name in ("follow", "timestamps", "details") if options[name]]
    response = session.client.request("GET", f"/containers/{container['Id']}/logs", query=query)
    if (container.get("Config") or {}).get("Tty"):
        for piece in response.body.pieces():
            write_all(session.stdout_fd, piece)
        return 0
    frames = Demultiplexer(session.stdout_fd, session.stderr_fd)
    for piece in response.body.pieces():
        frames.feed(memoryview(piece))
    frames.finish()
    return 0
