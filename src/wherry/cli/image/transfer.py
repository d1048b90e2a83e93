"""Images into the daemon: pulls (for pull, run and create) and imports (for import and bootstrap)."""

from __future__ import annotations

from wherry.cli.failures import CommandFailed
from wherry.cli.progress import Progress
from wherry.client.auth import auth_header
from wherry.errors import InvalidArgument
from wherry.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.cli.session import Session


def pull_image(
    session: Session,
    reference: Reference,
    *,
    platform: str = "",
    quiet: bool = False,
    all_tags: bool = False,
    to_stderr: bool = False,
) -> None:
    """Have the daemon pull `reference`, showing its progress.

    Raises:
        ErrorResponse, CommandFailed: it cannot.
    """
    query = [("fromImage", reference.name)]
    if not all_tags:
        query.append(("tag", str(reference.digest or reference.tag)))
    if platform:
        query.append(("platform", platform))
    headers = [auth_header(session.config, reference.domain)]
    response = session.client.request("POST", "/images/create", query=query, headers=headers)
    Progress(session, to_stderr=to_stderr, quiet=quiet).show(response.body.json_values())


def import_image(
    session: Session,
    source: str,
    name: str,
    body: Iterable[bytes] | None,
    *,
    changes: Iterable[str],
    message: str = "",
    platform: str = "",
    quiet: bool = False,
) -> None:
    """Have the daemon make an image `name` of an archive: `body`, or what it fetches from `source`.

    Raises:
        ErrorResponse, CommandFailed: it cannot.
    """
    query = [("fromSrc", source)]
    if name:
        try:
            reference = Reference.parse(name)
        except InvalidArgument as error:
            raise CommandFailed(str(error)) from None
        query.append(("repo", reference.familiar()))
    query += [("message", message)] * bool(message) + [("changes", change) for change in changes]
    query += [("platform", platform)] * bool(platform)
    headers = [("Content-Type", "application/x-tar")] if body is not None else []
    response = session.client.request(
        "POST", "/images/create", query=query, headers=headers, stream_body=body
    )
    Progress(session, quiet=quiet).show(response.body.json_values())
