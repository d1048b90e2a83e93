"""Saving images to an archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from wherry.core import transfer
from wherry.core.transfer.save import SavedImage
from wherry.engine.images.find import find_image, is_dangling, resolve_image
from wherry.engine.images.names import emit_image
from wherry.engine.images.platforms import one_platform
from wherry.oci.reference import Reference

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def save_images(
    engine: Engine, names: list[str], *, platforms: list[str] | None = None
) -> AsyncIterator[bytes]:
    """The archive of the images of these names or ids, piece by piece.

    A repository without a tag saves all its tags.

    Raises:
        NotFound: no such image, or not for this platform; before this returns.
    """
    wanted = one_platform(platforms or [])
    images: list[SavedImage] = []
    for name in names:
        found = find_image(engine, name)
        if wanted is not None:
            await resolve_image(engine, found, platform=wanted, name=name)
        if found.by_name is None or is_dangling(found.by_name.name):
            images.append(SavedImage(target=found.target))
            continue
        images.append(SavedImage(target=found.target, name=Reference.parse(found.by_name.name)))
        emit_image(engine, "save", str(found.target.digest), str(found.target.digest))
    return transfer.save(engine.transfer, images, platform=wanted)
