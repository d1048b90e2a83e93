"""`image push`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import CONTENT_TRUST_FLAG, Flag, Options
from wherry.cli.progress import Progress
from wherry.cli.session import Session
from wherry.client.auth import auth_header
from wherry.files import json
from wherry.oci.reference import Reference

COMMAND = Command(
    "[OPTIONS] NAME[:TAG]",
    (
        Flag("all-tags", "bool", "Push all tags of an image to the repository", short="a"),
        CONTENT_TRUST_FLAG,
        Flag("platform", "string", 'Push only the image of this platform ("os[/arch[/variant]]")'),
        Flag("quiet", "bool", "Suppress verbose output", short="q"),
    ),
    minimum=1,
    maximum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Push an image to its registry."""
    reference = Reference.parse(arguments[0])
    if options["all-tags"] and (reference.tag or reference.digest):
        raise CommandFailed("tag can't be used with --all-tags/-a")
    if reference.digest:
        raise CommandFailed("cannot push a digest reference")
    if not options["all-tags"] and not (reference.tag or reference.digest):
        reference = reference.with_default_tag()
        if not options["quiet"]:
            session.line(f"Using default tag: {reference.tag}")
    query = [("tag", reference.tag)] if reference.tag else []
    if options["platform"]:
        query.append(("platform", json.dumps(platform_document(options["platform"]))))
    response = session.client.request(
        "POST",
        f"/images/{reference.familiar_name}/push",
        query=query,
        headers=[auth_header(session.config, reference.domain)],
    )
    Progress(session, quiet=options["quiet"]).show(response.body.json_values())
    if options["quiet"]:
        session.line(str(reference))
    return 0


def platform_document(text: str) -> dict[str, str]:
    """`os/arch/variant` as the API takes it.

    Raises:
        CommandFailed: another form.
    """
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise CommandFailed(f'invalid platform: "{text}": must be os[/arch[/variant]]')
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))
