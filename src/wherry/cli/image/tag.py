"""`image tag`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Options
from wherry.cli.session import Session
from wherry.errors import InvalidArgument
from wherry.oci.reference import Reference

COMMAND = Command("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", minimum=2, maximum=2)


def run(session: Session, _options: Options, arguments: list[str]) -> int:
    """Give an image another name."""
    source, target = arguments
    try:
        reference = Reference.parse(target)
    except InvalidArgument as error:
        raise CommandFailed(
            f'error parsing reference: "{target}" is not a valid repository/tag: {error}'
        ) from None
    if reference.digest:
        raise CommandFailed("refusing to create a tag with a digest reference")
    reference = reference.with_default_tag()
    query = [("repo", reference.familiar_name), ("tag", str(reference.tag))]
    session.client.send("POST", f"/images/{source}/tag", query=query)
    return 0
