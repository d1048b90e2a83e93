"""`container stop`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.each import for_each
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session

STOP_FLAGS = (
    Flag("signal", "string", "Signal to send to the container", short="s"),
    Flag("time", "int", "Seconds to wait before killing the container", hidden=True, target="timeout"),
    Flag("timeout", "int", "Seconds to wait before killing the container", short="t"),
)
COMMAND = Command("[OPTIONS] CONTAINER [CONTAINER...]", STOP_FLAGS, minimum=1)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Stop containers."""
    query = stop_query(options)
    return for_each(session, arguments, lambda name: ("POST", f"/containers/{name}/stop", query))


def stop_query(options: Options) -> list[tuple[str, str]]:
    """The query of stop and restart: what was given, the engine knows the rest."""
    query = []
    if options["signal"]:
        query.append(("signal", options["signal"]))
    if "timeout" in options.given:
        query.append(("t", str(options["timeout"])))
    return query
