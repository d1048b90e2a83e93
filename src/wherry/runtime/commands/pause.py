"""pause: suspend all processes of a container."""

from __future__ import annotations

from wherry.runtime.commands.flags import Flags, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import WrongState

FLAGS: Flags = {}


def run(options: Options, arguments: list[str]) -> int:
    with Container.load(options["root"], take_id(arguments)) as container:
        if container.status() not in ("running", "created"):
            raise WrongState("container not running")
        container.cgroup().freeze()
    return 0
