"""Pulling an image from a registry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from wherry.api import progress
from wherry.core import transfer
from wherry.core.images import ImageNotFound
from wherry.engine.images.credentials import credentials_of
from wherry.engine.images.names import emit_image
from wherry.engine.images.platforms import platform_from_query
from wherry.engine.images.progress import progress_of
from wherry.errors import InvalidArgument
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference, is_tag

if TYPE_CHECKING:
    from wherry.api.auth import RegistryAuth
    from wherry.core.transfer import Progress
    from wherry.engine.engine import Engine


async def pull_image(
    engine: Engine, name: str, *, tag: str = "", platform: str = "", auth: RegistryAuth | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Pull `name:tag` (the tag may be a digest) and tell how it goes; without a tag, all the registry has.

    Raises:
        InvalidArgument: not a reference.
        NotFound: no such image, for this client or this platform.
    """
    reference = with_tag(name.removesuffix(":"), tag)
    wanted = platform_from_query(platform)
    credentials = credentials_of(auth)

    async def work(tell: Progress, emit: Callable[[dict[str, Any]], None]) -> None:
        references = [reference]
        if not (reference.tag or reference.digest):
            references = await transfer.remote_tags(engine.transfer, reference, credentials=credentials)
        changed = False
        for each in references:
            before = _target(engine, each)
            image = await transfer.pull(
                engine.transfer, each, platform=wanted, credentials=credentials, progress=tell
            )
            digest = str(image.target.digest)
            changed = changed or before != digest
            emit(progress.status(f"Digest: {digest}"))
            emit_image(engine, "pull", each.familiar(), each.familiar_name)
        said = "Downloaded newer image for" if changed else "Image is up to date for"
        emit(progress.status(f"Status: {said} {reference.familiar()}"))

    async for record in progress_of(work):
        yield record


def with_tag(name: str, tag: str) -> Reference:
    """The reference of a name and a tag or digest given apart.

    Raises:
        InvalidArgument: not a name, a tag or a digest.
    """
    reference = Reference.parse(name)
    if not tag:
        return reference
    if ":" in tag:
        return reference.with_digest(Digest(tag))
    if not is_tag(tag):
        raise InvalidArgument("invalid tag format")
    return reference.with_tag(tag)


def _target(engine: Engine, reference: Reference) -> str:
    try:
        return str(engine.images.get(engine.tenant, str(reference)).target.digest)
    except ImageNotFound:
        return ""
