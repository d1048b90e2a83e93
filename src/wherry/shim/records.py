"""The shim's files in its bundle, each replaced whole: a reader finds the old text or the new.

Nothing is synced to the disk.  The exec root does not outlive the machine's uptime, and the death of a
process, however sudden, loses nothing of what it has written.
"""

from __future__ import annotations

import os

from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def write(directory_fd: int, name: str, document: dict[str, Any]) -> None:
    """Write `document`.

    Raises:
        OSError: ENOSPC and the like; the old text stays.
    """
    temporary = f".{name}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
    try:
        rest = memoryview(json.dumps(document).encode())
        while rest:
            rest = rest[os.write(fd, rest) :]
    finally:
        os.close(fd)
    os.rename(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)


def read(directory_fd: int, name: str) -> dict[str, Any] | None:
    """The document, or None where there is none.

    Raises:
        ValueError: not JSON.
    """
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory_fd)
    except FileNotFoundError:
        return None
    try:
        document: dict[str, Any] = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
        return document
    finally:
        os.close(fd)
