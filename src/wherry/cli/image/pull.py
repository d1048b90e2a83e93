"""`image pull`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.container.creation import platform_of
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import CONTENT_TRUST_FLAG, Flag, Options
from wherry.cli.image.transfer import pull_image
from wherry.cli.session import Session
from wherry.oci.reference import Reference

COMMAND = Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    (
        Flag("all-tags", "bool", "Download all tagged images in the repository", short="a"),
        CONTENT_TRUST_FLAG,
        Flag("platform", "string", "Platform of the image, where it has several"),
        Flag("quiet", "bool", "Suppress verbose output", short="q"),
    ),
    minimum=1,
    maximum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Pull an image and print its full name."""
    reference = Reference.parse(arguments[0])
    if options["all-tags"] and (reference.tag or reference.digest):
        raise CommandFailed("tag can't be used with --all-tags/-a")
    if not options["all-tags"] and not (reference.tag or reference.digest):
        reference = reference.with_default_tag()
        if not options["quiet"]:
            session.line(f"Using default tag: {reference.tag}")
    pull_image(
        session,
        reference,
        platform=platform_of(options),
        quiet=options["quiet"],
        all_tags=options["all-tags"],
    )
    session.line(str(reference))
    return 0
