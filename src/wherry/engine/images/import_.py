"""Making an image of a root file system."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import IO, TYPE_CHECKING, Any

from wherry.api import progress
from wherry.core import transfer
from wherry.engine.images.names import emit_image
from wherry.engine.images.platforms import platform_from_query
from wherry.engine.images.progress import progress_of
from wherry.engine.images.tag import checked_name
from wherry.errors import Unsupported

if TYPE_CHECKING:
    from wherry.core.transfer import Progress
    from wherry.engine.engine import Engine


async def import_image(
    engine: Engine,
    body: AsyncIterator[bytes] | IO[bytes],
    *,
    source: str = "-",
    repository: str = "",
    tag: str = "",
    message: str = "",
    changes: list[str] | None = None,
    platform: str = "",
) -> AsyncIterator[dict[str, Any]]:
    """Make an image whose one layer is the tar in `body`, and tell its id.

    Raises:
        InvalidArgument: not a tar, not a name, or a change that is none.
        Unsupported: another source than the body.
    """
    if source != "-":
        raise Unsupported("import from a URL is not supported: send the archive as the body, with fromSrc=-")
    reference = checked_name(repository, tag) if repository else None
    wanted = platform_from_query(platform)
    comment = message or f"Imported from {source}"

    async def work(tell: Progress, emit: Callable[[dict[str, Any]], None]) -> None:
        image = await transfer.import_image(
            engine.transfer,
            body,
            reference=reference,
            changes=changes or (),
            message=comment,
            platform=wanted,
            progress=tell,
        )
        image_id = str(image.target.digest)
        emit(progress.status(image_id))
        emit_image(engine, "import", image_id, image_id)

    async for record in progress_of(work):
        yield record
