"""Atomic writes: a file is whole under its name, or not there.

The order is the same everywhere: the bytes reach the disk, then the name, then the directory
that holds the name.  A reader never sees half a file, and a power failure never leaves a name
without its bytes.
"""

from __future__ import annotations

import os


def write_atomic(path: str | os.PathLike[str], data: bytes, mode: int = 0o600, *, sync: bool = True) -> None:
    """Make `path` a file of exactly `data`, replacing what was there in one step.

    `sync=False` leaves the moment of reaching the disk to the kernel, for what a reboot makes
    worthless anyway.

    Raises:
        OSError: nothing was replaced.
    """
    name = os.fspath(path)
    draft = f"{name}.{os.getpid():x}-{os.urandom(4).hex()}.tmp"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, data)
            os.fchmod(fd, mode)  # the umask does not decide
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(draft, name)
    except BaseException:
        os.unlink(draft)
        raise
    if sync:
        sync_directory(os.path.dirname(name) or ".")


def publish(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give the finished file `source` the name `target`, durably; both in one file system.

    Raises:
        OSError: `target` is as it was, or already the new file but perhaps not on the disk.
    """
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(source, target)
    sync_directory(os.path.dirname(os.fspath(target)) or ".")


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Bring the names in the directory `path` to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`: write(2) may take less than it is given."""
    written = os.write(fd, data)
    if written == len(data):
        return
    rest = memoryview(data)
    while written < len(rest):
        written += os.write(fd, rest[written:])
