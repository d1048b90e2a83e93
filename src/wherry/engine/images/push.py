"""Pushing an image to a registry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from wherry.api import progress
from wherry.core import transfer
from wherry.core.transfer.push import TagNotFound
from wherry.engine.images.credentials import credentials_of
from wherry.engine.images.names import emit_image
from wherry.engine.images.platforms import platform_from_query
from wherry.engine.images.progress import progress_of
from wherry.engine.images.pull import with_tag
from wherry.errors import NotFound
from wherry.oci.reference import Reference

if TYPE_CHECKING:
    from wherry.api.auth import RegistryAuth
    from wherry.core.transfer import Progress
    from wherry.engine.engine import Engine


async def push_image(
    engine: Engine, name: str, *, tag: str = "", platform: str = "", auth: RegistryAuth | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Push `name:tag`, or every tag of `name`, and tell how it goes.

    Raises:
        InvalidArgument: not a reference.
        NotFound: no such image here.
    """
    reference = with_tag(name, tag)
    wanted = platform_from_query(platform)
    credentials = credentials_of(auth)
    references = [reference] if reference.tag or reference.digest else _all_tags(engine, reference)
    for each in references:
        _check_here(engine, each)

    async def work(tell: Progress, emit: Callable[[dict[str, Any]], None]) -> None:
        emit(progress.status(f"The push refers to repository [{reference.name}]"))
        for each in references:
            pushed = await transfer.push(
                engine.transfer, each, platform=wanted, credentials=credentials, progress=tell
            )
            emit(progress.status(f"{each.tag}: digest: {pushed.digest} size: {pushed.size}"))
            emit(progress.aux({"Tag": each.tag, "Digest": str(pushed.digest), "Size": pushed.size}))
            emit_image(engine, "push", each.familiar(), each.familiar_name)

    async for record in progress_of(work):
        yield record


def _all_tags(engine: Engine, reference: Reference) -> list[Reference]:
    prefix = f"{reference.name}:"
    names = [image.name for image in engine.images.list(engine.tenant) if image.name.startswith(prefix)]
    if not names:
        raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
    return [Reference.parse(name) for name in names]


def _check_here(engine: Engine, reference: Reference) -> None:
    if reference.digest is None and not any(
        image.name == str(reference) for image in engine.images.list(engine.tenant)
    ):
        raise TagNotFound(reference)
