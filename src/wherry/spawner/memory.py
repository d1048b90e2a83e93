"""The spawner's memory, put in order before the first fork, so that children share as much as they can.

A page is shared until somebody writes to it.  Python's small objects live in pools of one size each; after
the imports most pools have a free slot here and there, and a child would scatter its own objects over all
of them, copying a page for each.  `settle` fills the holes, so that a child begins with fresh pools.
"""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_POOL_BYTES = 16 * 1024
_POOL_HEAD_BYTES = 48
_STEP_BYTES = 16
_LARGEST_BYTES = 512
_MOST_OBJECTS = 20_000  # of one size; a bound in case that pools work differently in some Python

_filling: list[object] = []


def settle() -> None:
    """Let nothing that lives now be looked at again, and leave no hole behind."""
    gc.collect()
    _fill_pools(16, object)
    _fill_pools(32, lambda: complex(0, 1))
    empty = sys.getsizeof(b"")
    for size in range(3 * _STEP_BYTES, _LARGEST_BYTES + 1, _STEP_BYTES):
        _fill_pools(size, lambda length=size - empty: bytes(length))  # type: ignore[misc]
    # What lives now lives for ever: a collection would only write to all of it.
    gc.freeze()
    gc.disable()


def _fill_pools(size: int, allocate: Callable[[], object]) -> None:
    """Allocate objects of `size` bytes until a pool was filled from its start to its end.

    The allocator takes a fresh pool only when no used one has a free slot.
    """
    wanted = (_POOL_BYTES - _POOL_HEAD_BYTES) // size
    previous = in_a_row = 0
    for _ in range(_MOST_OBJECTS):
        filler = allocate()
        _filling.append(filler)
        in_a_row = in_a_row + 1 if id(filler) == previous + size else 1
        previous = id(filler)
        if in_a_row >= wanted:
            return
