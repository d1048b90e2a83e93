"""Giving an image another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.core.transfer.services import name_image
from wherry.engine.images.find import find_image
from wherry.engine.images.names import emit_image
from wherry.errors import InvalidArgument, PermissionDenied
from wherry.oci.reference import Reference, is_tag, parse_normalized

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def tag_image(engine: Engine, reference: str, *, repository: str, tag: str = "") -> None:
    """Point `repository:tag` at an image, away from what it pointed at before.

    Raises:
        NotFound: no such image.
        InvalidArgument: not a name.
        PermissionDenied: a reserved name.
    """
    name = checked_name(repository, tag)
    found = find_image(engine, reference)
    await engine.threads.disk(name_image, engine.transfer, str(name), found.target)
    emit_image(engine, "tag", str(found.target.digest), name.familiar())


def checked_name(repository: str, tag: str = "") -> Reference:
    """The reference of a new name.

    Raises:
        InvalidArgument: not a name, with a digest, or ambiguous.
        PermissionDenied: `scratch`.
    """
    if tag and not is_tag(tag):
        raise InvalidArgument("invalid tag format")
    if "@" in repository:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    parsed = Reference.parse(repository)
    name = parsed.with_tag(tag) if tag else parse_normalized(repository)
    if name.familiar_name == "sha256":
        raise InvalidArgument("refusing to create an ambiguous tag using digest algorithm as name")
    if name.familiar_name == "scratch":
        raise PermissionDenied("'scratch' is a reserved name")
    return name
