"""Resizing an exec's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.engine.exec.record import find_exec
from wherry.errors import InvalidArgument

if TYPE_CHECKING:
    from wherry.engine.engine import Engine


async def resize_exec(engine: Engine, exec_id: str, rows: int, columns: int) -> None:
    """Set the size of the terminal.

    Raises:
        NotFound: no such exec.
        InvalidArgument: it does not run yet.
    """
    found = find_exec(engine, exec_id)
    if found.pid == 0 or found.container.task is None:
        raise InvalidArgument("exec process is not started")
    await found.container.task.resize(rows, columns, found.id)
