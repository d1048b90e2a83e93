"""create: make a container whose program waits for `start`."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.runtime.commands import bundle
from wherry.runtime.commands.flags import BOOLEAN, NUMBER, STRING, Options, take_id

FLAGS = {
    "bundle": (STRING, "", "b"),
    "console-socket": (STRING, "", ""),
    "pid-file": (STRING, "", ""),
    "no-pivot": (BOOLEAN, False, ""),
    "no-new-keyring": (BOOLEAN, False, ""),
    "preserve-fds": (NUMBER, 0, ""),
}


def run(options: Options, arguments: list[str]) -> int:
    container_id = take_id(arguments)
    directory, spec = bundle.read_bundle(options["bundle"])
    terminal = bool((spec.get("process") or {}).get("terminal"))
    if terminal and not options["console-socket"]:
        raise InvalidArgument("cannot allocate tty if the runtime will detach without setting console socket")
    if not terminal and options["console-socket"]:
        raise InvalidArgument("cannot use console socket if the runtime will not allocate tty")
    bundle.create(options, container_id, directory, spec, gate=True).detach()
    return 0
