"""The engine's own id, made once for a data root."""

from __future__ import annotations

import uuid
from pathlib import Path

from wherry.files.atomic import write_atomic

_LENGTH = 36


def engine_id(data_root: Path) -> str:
    """The id of the engine of this data root.  Blocks."""
    path = data_root / "engine-id"
    try:
        known = path.read_text().strip()
    except FileNotFoundError:
        known = ""
    if len(known) == _LENGTH:
        return known
    new = str(uuid.uuid4())
    write_atomic(path, new.encode(), 0o600)
    return new
