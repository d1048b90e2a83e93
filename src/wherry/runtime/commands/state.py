"""state: show the state of a container as JSON."""

from __future__ import annotations

import sys

from wherry.files.json import dumps
from wherry.runtime.commands.flags import Flags, Options, take_id
from wherry.runtime.container import Container

FLAGS: Flags = {}


def run(options: Options, arguments: list[str]) -> int:
    with Container.load(options["root"], take_id(arguments), lock=False) as container:
        sys.stdout.write(dumps(container.state(), indent="  ") + "\n")
    return 0
