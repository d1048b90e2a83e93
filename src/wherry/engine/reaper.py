"""The reaper that `--init` puts before a container's program: a static ELF file in the data root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import Unsupported
from wherry.files.atomic import write_atomic

if TYPE_CHECKING:
    from wherry.engine.engine import Engine

_written: set[Path] = set()


def reaper_path(engine: Engine) -> Path:
    """Where the reaper is, written if it is not there or is another one.  Blocks.

    Raises:
        Unsupported: there is none for this architecture.
    """
    path = engine.config.data_root / "init" / "docker-init"
    if path in _written and path.exists():
        return path
    from wherry.runtime import reaper  # only who asks for it pays for its assembly

    try:
        program = reaper.build(os.uname().machine)
    except (KeyError, ValueError) as error:
        raise Unsupported(f"--init: no reaper for {os.uname().machine}") from error
    path.parent.mkdir(mode=0o755, exist_ok=True)
    if not path.exists() or path.read_bytes() != program:
        write_atomic(path, program, 0o755)
    _written.add(path)
    return path
