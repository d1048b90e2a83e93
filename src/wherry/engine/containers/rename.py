"""Renaming a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wherry.engine.container_events import emit_container
from wherry.engine.names import checked_name
from wherry.errors import InvalidArgument

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def rename_container(engine: Engine, reference: str, name: str) -> None:
    """Give a container another name.

    Raises:
        NotFound: no such container.
        InvalidArgument: not a name, or its own.
        AlreadyExists: the name is in use.
    """
    if not reference or not name.removeprefix("/"):
        raise InvalidArgument("Neither old nor new names may be empty")
    container = engine.containers.find(reference)
    bare = checked_name(name)
    async with container.lock:
        old = container.record.name
        if old == bare:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        engine.containers.reserve(bare, container.id, prefix="Error when allocating new name: ")
        try:
            await engine.containers.save(container, msgspec.structs.replace(container.record, name=bare))
        except BaseException:
            engine.containers.release(bare, container.id)
            raise
        engine.containers.release(old, container.id)
    emit_container(engine, container, "rename", oldName=f"/{old}")
