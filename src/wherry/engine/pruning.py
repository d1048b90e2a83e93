"""One prune of a kind at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wherry.errors import Conflict

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


@contextmanager
def pruning(engine: Engine, kind: str) -> Iterator[None]:
    """Hold the right to prune objects of `kind` for the length of the block.

    Raises:
        Conflict: somebody else holds it.
    """
    if kind in engine.pruning:
        raise Conflict("a prune operation is already running")
    engine.pruning.add(kind)
    try:
        yield
    finally:
        engine.pruning.discard(kind)
