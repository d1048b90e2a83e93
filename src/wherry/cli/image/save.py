"""`image save`"""

from __future__ import annotations

import os

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.image.push import platform_document
from wherry.cli.session import Session, write_all
from wherry.cli.terminal import is_terminal
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.client.http import Body

COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    (
        Flag("output", "string", "Write to a file, instead of STDOUT", short="o"),
        Flag("platform", "strings", 'Save only this platform ("os[/arch[/variant]]")', type_name="string"),
    ),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Write images as one tar archive."""
    target = options["output"]
    if not target and is_terminal(session.stdout_fd):
        raise CommandFailed("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if target:
        _check_target(target)
    query = [("platform", json.dumps(platform_document(text))) for text in options["platform"]]
    query = [("names", name) for name in arguments] + query
    response = session.client.request("GET", "/images/get", query=query)
    if target:
        save_atomically(response.body, target)
        return 0
    for piece in response.body.pieces():
        write_all(session.stdout_fd, piece)
    return 0


def _check_target(target: str) -> None:
    directory = os.path.dirname(target) or "."
    if not os.path.isdir(directory):
        raise CommandFailed(
            f"failed to save image: invalid output path: stat {directory}: no such file or directory"
        )
    if os.path.isdir(target):
        raise CommandFailed(f'failed to save image: invalid output path: "{target}" is a directory')


def save_atomically(body: Body, target: str) -> None:
    """Write `body` to `target`: whole, or not at all."""
    if os.path.lexists(target) and not os.path.isfile(target):
        with open(target, "wb", buffering=0) as device:  # a pipe or a device keeps its kind
            for piece in body.pieces():
                write_all(device.fileno(), piece)
        return
    partial = f"{target}.partial-{os.getpid()}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            for piece in body.pieces():
                write_all(descriptor, piece)
        finally:
            os.close(descriptor)
        os.rename(partial, target)
    except BaseException:
        os.unlink(partial)
        raise
