"""`inspect`: an object of any type by its name or id."""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.inspection import FORMAT_FLAG, inspect
from wherry.cli.session import Session
from wherry.client.failures import ErrorResponse, NotFoundResponse, UnavailableResponse

# Types in the order they are tried, with the path of their objects.
TYPES = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
    "service": "/services/{}",
    "task": "/tasks/{}",
    "node": "/nodes/{}",
    "plugin": "/plugins/{}/json",
    "secret": "/secrets/{}",
    "config": "/configs/{}",
}
_OF_SWARM = ("service", "task", "node", "secret", "config")

COMMAND = Command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    (
        FORMAT_FLAG,
        Flag("size", "bool", "Display total file sizes if the type is container", short="s"),
        Flag("type", "string", "Only inspect objects of the given type"),
    ),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Show objects as the API describes them."""
    wanted = options["type"]
    if "type" in options.given and not wanted:
        raise CommandFailed('type is empty: must be one of "' + '", "'.join(sorted(TYPES)) + '"')
    if wanted and wanted not in TYPES:
        raise CommandFailed(f'unknown type: "{wanted}": must be one of "' + '", "'.join(sorted(TYPES)) + '"')

    def fetch(name: str) -> bytes:
        if wanted:
            return _get(session, wanted, name, size=options["size"])
        for kind in TYPES:
            if kind in _OF_SWARM or kind == "plugin":
                continue
            try:
                return _get(session, kind, name, size=options["size"])
            except (NotFoundResponse, UnavailableResponse):
                continue
        raise _NoSuchObject(name)

    return inspect(session, arguments, options["format"], fetch)


class _NoSuchObject(ErrorResponse):
    def __init__(self, name: str) -> None:
        super().__init__(404, name)
        self.message = f"error: no such object: {name}"


def _get(session: Session, kind: str, name: str, *, size: bool) -> bytes:
    query = [("size", "1")] if size and kind == "container" else []
    return session.client.request("GET", TYPES[kind].format(name), query=query).body.read()
