"""`image load`"""

from __future__ import annotations

import os

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.image.push import platform_document
from wherry.cli.progress import Progress
from wherry.cli.session import Session, write_all
from wherry.cli.terminal import is_terminal
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("input", "string", "Read from tar archive file, instead of STDIN", short="i"),
        Flag("platform", "strings", 'Load only this platform ("os[/arch[/variant]]")', type_name="string"),
        Flag("quiet", "bool", "Suppress the load output", short="q"),
    ),
    maximum=0,
)
READ_BYTES = 1024 * 1024


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Send an archive to the daemon and print the names of what it held."""
    descriptor = session.stdin_fd
    if options["input"]:
        descriptor = open_file(options["input"])
    elif is_terminal(descriptor):
        raise CommandFailed("requested load from stdin, but stdin is empty")
    query = [("quiet", "1" if options["quiet"] or not is_terminal(session.stdout_fd) else "0")]
    query += [("platform", json.dumps(platform_document(text))) for text in options["platform"]]
    try:
        response = session.client.request(
            "POST",
            "/images/load",
            query=query,
            headers=[("Content-Type", "application/x-tar")],
            stream_body=pieces_of(descriptor),
        )
    finally:
        if options["input"]:
            os.close(descriptor)
    if response.headers.get("content-type", "").startswith("application/json"):
        Progress(session).show(response.body.json_values())
        return 0
    for piece in response.body.pieces():
        write_all(session.stdout_fd, piece)
    return 0


def open_file(path: str) -> int:
    """A descriptor of `path` for reading.

    Raises:
        CommandFailed: it cannot be opened.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandFailed(f"open {path}: {(error.strerror or str(error)).lower()}") from None


def pieces_of(descriptor: int) -> Iterator[bytes]:
    """What can be read from `descriptor`, in pieces fit for one send each."""
    while data := os.read(descriptor, READ_BYTES):
        yield data
