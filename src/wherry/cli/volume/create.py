"""`volume create`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.flag_values import parse_label
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session

COMMAND = Command(
    "[OPTIONS] [VOLUME]",
    (
        Flag("driver", "string", "Specify volume driver name", short="d", default="local"),
        Flag("label", "list", "Set metadata for a volume", parse=parse_label),
        Flag("name", "string", "Specify volume name", hidden=True),
        Flag("opt", "map", "Set driver specific options", short="o"),
    ),
    maximum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Create a volume and print its name."""
    name = options["name"]
    if arguments:
        if name:
            raise CommandFailed(
                "conflicting options: cannot specify a volume-name through both --name "
                "and as a positional arg"
            )
        name = arguments[0]
    labels = {key: value for key, _, value in (label.partition("=") for label in options["label"])}
    body = {"Driver": options["driver"], "DriverOpts": dict(options["opt"]), "Labels": labels, "Name": name}
    answer = session.client.json("POST", "/volumes/create", body=body)
    session.line(answer["Name"])
    return 0
