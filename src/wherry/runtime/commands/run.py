"""run: create and start a container, and stay with it unless --detach."""

from __future__ import annotations

import os

from wherry.errors import InvalidArgument
from wherry.runtime.commands import bundle, create, foreground
from wherry.runtime.commands.delete import remove_container
from wherry.runtime.commands.flags import BOOLEAN, Options, take_id
from wherry.runtime.container import Container
from wherry.runtime.failures import StartFailed

FLAGS = {
    **create.FLAGS,
    "detach": (BOOLEAN, False, "d"),
    "no-subreaper": (BOOLEAN, False, ""),
    "keep": (BOOLEAN, False, ""),
}


def run(options: Options, arguments: list[str]) -> int:
    container_id = take_id(arguments)
    directory, spec = bundle.read_bundle(options["bundle"])
    terminal = bool((spec.get("process") or {}).get("terminal"))
    detach, socket = options["detach"], options["console-socket"]
    if terminal and detach and not socket:
        raise InvalidArgument("cannot allocate tty if the runtime will detach without setting console socket")
    if socket and not (terminal and detach):
        raise InvalidArgument("cannot use console socket if the runtime will not detach or allocate tty")
    init = bundle.create(options, container_id, directory, spec, gate=False)
    if not detach:
        foreground.forward_signals(init.pidfd)
    try:
        init.start()
    except StartFailed as error:
        init.abort()
        _remove(options["root"], container_id)
        raise bundle.start_error("run", error) from error
    if detach:
        init.detach()
        return 0
    code = foreground.attend(init.pidfd, init.console_fd)
    if not options["keep"]:
        _remove(options["root"], container_id)
    return code


def _remove(root: str, container_id: str) -> None:
    with Container.load(root, container_id) as container:
        if os.path.isdir(container.directory):
            remove_container(container)
