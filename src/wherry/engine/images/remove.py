"""Removing images.

By name, the name goes, and with the last name the image.  By id, the image goes with all its
names.  Content and snapshots are garbage from then on and are collected.

Spec: texts of moby's daemon/containerd/image_delete.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.core.images import ImageNotFound
from wherry.core.transfer.services import dangling_name, name_image
from wherry.diagnostics.faults import fault_point
from wherry.engine.images.collect import collect_garbage
from wherry.engine.images.find import find_image, is_dangling
from wherry.engine.images.names import emit_image, familiar
from wherry.errors import Conflict

if TYPE_CHECKING:
    from wherry.core.images import Image
    from wherry.engine.engine import Engine
    from wherry.engine.images.find import FoundImage

SHORT = 12


async def remove_image(
    engine: Engine,
    reference: str,
    *,
    force: bool = False,
    noprune: bool = False,  # noqa: ARG001  there are no untagged parents to keep
) -> list[dict[str, Any]]:
    """Remove a name or an image; what happened as `{Untagged}` and `{Deleted}` records.

    Raises:
        NotFound: no such image.
        Conflict: a container uses it, or it has several names.
    """
    found = find_image(engine, reference)
    if found.by_name is not None:
        return await _remove_name(engine, found, found.by_name, force=force)
    return await _remove_all(engine, found, force=force)


async def _remove_name(
    engine: Engine, found: FoundImage, image: Image, *, force: bool
) -> list[dict[str, Any]]:
    """Remove one name; a container may keep the image, which is then left without a name."""
    last = len(found.names) == 1
    users = _users(engine, found)
    if last and users and not force:
        raise Conflict(
            f'conflict: unable to remove repository reference "{familiar(image.name)}" (must force) - '
            f"container {users[0][:SHORT]} is using its referenced image {_short(found)}"
        )
    if last and users:
        await engine.threads.disk(name_image, engine.transfer, dangling_name(found.target), found.target)
        fault_point("images.kept-without-name")
    return await _drop(engine, found, [image], deletes=last and not users)


async def _remove_all(engine: Engine, found: FoundImage, *, force: bool) -> list[dict[str, Any]]:
    running = [c.id for c in engine.containers if c.id in _users(engine, found) and c.running]
    if running:
        raise Conflict(
            f"conflict: unable to delete {_short(found)} (cannot be forced) - image is being used by "
            f"running container {running[0][:SHORT]}"
        )
    users = _users(engine, found)
    if users and not force:
        raise Conflict(
            f"conflict: unable to delete {_short(found)} (must be forced) - image is being used by "
            f"stopped container {users[0][:SHORT]}"
        )
    if len({reference.name for reference in found.references}) > 1 and not force:
        raise Conflict(
            f"conflict: unable to delete {_short(found)} (must be forced) - image is referenced in "
            "multiple repositories"
        )
    return await _drop(engine, found, list(found.names), deletes=True)


async def _drop(
    engine: Engine, found: FoundImage, names: list[Image], *, deletes: bool
) -> list[dict[str, Any]]:
    image_id = str(found.target.digest)
    records: list[dict[str, Any]] = []
    for image in names:
        try:
            await engine.threads.disk(engine.images.delete, engine.tenant, image.name)
        except ImageNotFound:
            continue  # somebody else was quicker
        fault_point("images.name-removed")
        if not is_dangling(image.name):
            records.append({"Untagged": familiar(image.name)})
            emit_image(engine, "untag", image_id, familiar(image.name))
    if deletes:
        records.append({"Deleted": image_id})
        emit_image(engine, "delete", image_id, image_id)
        await collect_garbage(engine)
    return records


def _users(engine: Engine, found: FoundImage) -> list[str]:
    image_id = str(found.target.digest)
    return [container.id for container in engine.containers if container.record.image_id == image_id]


def _short(found: FoundImage) -> str:
    return found.target.digest.hex[:SHORT]
