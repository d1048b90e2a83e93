"""Paths beneath a root: opened from a descriptor, so that no link can lead outside.

A path that a less trusted party can influence is resolved by the kernel with the root as `/`
(openat2) and used only through the descriptor that comes back.  Absolute paths and symlinks
start at the root, `..` stops there, and magic links of /proc are refused.
"""

from __future__ import annotations

import errno
import os

from wherry.errors import InvalidArgument
from wherry.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

RETRIES = 64
"""Renames that may race with a `..` before the caller hears of it."""


def open_beneath(root_fd: int, path: str, flags: int, mode: int = 0, *, follow: bool = True) -> int:
    """Open `path` as a process would whose root is `root_fd`; the caller owns the descriptor.

    With `follow=False` any symlink on the way is an error.

    Raises:
        OSError: as open(2); ELOOP for a refused link.
    """
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (0 if follow else RESOLVE_NO_SYMLINKS)
    for attempt in range(RETRIES):
        try:
            return openat2(root_fd, path or ".", flags, mode, resolve)
        except OSError as error:
            if error.errno != errno.EAGAIN or attempt == RETRIES - 1:
                raise
    raise AssertionError("unreachable")


def parent_beneath(root_fd: int, path: str, *, follow: bool = True) -> tuple[int, str]:
    """The directory that holds `path`, as a descriptor the caller owns, and the last name.

    The last name is not resolved: use it with `dir_fd` and without following links.

    Raises:
        InvalidArgument: the path ends in no name (`/`, `.`, `..`).
        OSError: the directory cannot be opened.
    """
    parent, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise InvalidArgument(f"path {path!r} does not end in a file name")
    return open_beneath(root_fd, parent, os.O_PATH | os.O_DIRECTORY, follow=follow), name


def make_directories(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Open the directory `path` beneath the root, making what is missing; the caller owns it.

    What exists may lie behind symlinks inside the root; what is made is made in a directory
    that is held open, one component at a time, so no exchanged link can move it.

    Raises:
        OSError: ENOTDIR where something else is in the way.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"path {path!r} must not contain ..")
    fd, missing = _deepest_directory(root_fd, parts)
    for name in missing:
        try:
            try:
                os.mkdir(name, mode, dir_fd=fd)
            except FileExistsError:
                pass  # made meanwhile, or a dangling link: opening without following tells
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _deepest_directory(root_fd: int, parts: list[str]) -> tuple[int, list[str]]:
    """The deepest directory of `parts` that exists, and the names below it that do not."""
    for length in range(len(parts), 0, -1):
        try:
            fd = open_beneath(root_fd, "/".join(parts[:length]), os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        return fd, parts[length:]
    return open_beneath(root_fd, ".", os.O_PATH | os.O_DIRECTORY), parts
