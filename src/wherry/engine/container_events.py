"""Events of containers, with the attributes that every one carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine


def emit_container(engine: Engine, container: Container, action: str, **extra: str) -> None:
    """Send a container's event: its labels, `extra`, and its image and name, which win."""
    record = container.record
    attributes = {**(record.config.labels or {}), **extra, "image": record.config.image, "name": record.name}
    engine.events.emit("container", action, record.id, attributes)
