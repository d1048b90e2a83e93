"""resume: let all processes of a paused container run again."""

from __future__ import annotations

from wherry.runtime.commands.flags import Flags, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import WrongState

FLAGS: Flags = {}


def run(options: Options, arguments: list[str]) -> int:
    with Container.load(options["root"], take_id(arguments)) as container:
        if container.status() != "paused":
            raise WrongState("container not paused")
        container.cgroup().thaw()
    return 0
