"""Locks between processes: flock(2) on a file that stays.

The kernel drops the lock when the last descriptor of its holder is closed, however the
holder ended.  The file is never removed: two processes could then lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os

from wherry.errors import Conflict


class Locked(Conflict):
    """Another process holds the lock."""

    def __init__(self, path: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path} is locked by another process", hint=hint)
        self.path = path


class FileLock:
    """An exclusive lock, held from `acquire` to `release`; usable as a context manager."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def acquire(cls, path: str | os.PathLike[str], *, wait: bool = False, mode: int = 0o600) -> FileLock:
        """Lock `path`, making the file if needed.

        Raises:
            Locked: another process holds it and `wait` is false.
        """
        name = os.fspath(path)
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            raise Locked(name) from None
        except BaseException:
            os.close(fd)
            raise
        return cls(name, fd)

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Whether some process holds the lock on `path` at this moment."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
