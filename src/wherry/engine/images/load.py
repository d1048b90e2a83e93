"""Loading images from an archive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import IO, TYPE_CHECKING, Any

from wherry.api import progress
from wherry.core import transfer
from wherry.engine.images.names import emit_image
from wherry.engine.images.platforms import one_platform
from wherry.engine.images.progress import progress_of

if TYPE_CHECKING:
    from wherry.core.transfer import Progress
    from wherry.engine.engine import Engine


async def load_images(
    engine: Engine,
    source: AsyncIterator[bytes] | IO[bytes],
    *,
    quiet: bool = False,
    platforms: list[str] | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Load the images of the archive in `source` and tell their names.

    Raises:
        InvalidArgument: not an archive of images.
        NotFound: nothing for the platform.
    """
    wanted = one_platform(platforms or [])

    async def work(tell: Progress, emit: Callable[[dict[str, Any]], None]) -> None:
        loaded = await transfer.load(
            engine.transfer, source, platform=wanted, progress=_silent if quiet else tell
        )
        for each in loaded:
            image_id = str(each.image.target.digest)
            if each.name is None:
                emit(progress.stream(f"Loaded image ID: {image_id}\n"))
            else:
                emit(progress.stream(f"Loaded image: {each.name}\n"))
            emit_image(engine, "load", image_id, image_id)

    async for record in progress_of(work):
        yield record


def _silent(_id: str, _status: str, _current: int | None, _total: int | None) -> None:
    """Progress that was not asked for."""
