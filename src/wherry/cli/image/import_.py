"""`image import`"""

from __future__ import annotations

import os

from wherry.cli.commands import Command
from wherry.cli.container.creation import platform_of
from wherry.cli.flags import Flag, Options
from wherry.cli.image.load import open_file, pieces_of
from wherry.cli.image.transfer import import_image
from wherry.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

COMMAND = Command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    (
        Flag("change", "list", "Apply Dockerfile instruction to the created image", short="c"),
        Flag("message", "string", "Set commit message for imported image", short="m"),
        Flag("platform", "string", "Platform of the image"),
    ),
    minimum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Make an image of a root filesystem's tar archive and print its id."""
    source, name = arguments[0], arguments[1] if len(arguments) > 1 else ""
    descriptor = -1
    if source == "-":
        body: Iterable[bytes] | None = pieces_of(session.stdin_fd)
    elif source.startswith(("http://", "https://")):
        body = None
    else:
        descriptor, source = open_file(source), "-"
        body = pieces_of(descriptor)
    try:
        import_image(
            session,
            source,
            name,
            body,
            changes=options["change"],
            message=options["message"],
            platform=platform_of(options),
        )
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return 0
