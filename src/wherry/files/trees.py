"""Trees: walking, removing and copying directories by descriptor.

A tree that a container wrote may be deeper than a path can say and may hold a link at any
name.  So every step is taken from an open directory, links are never followed, mounts are
never entered, and at most `HELD_LIMIT` directories are open: those above are opened again
through `..`, and it is checked that they are the same ones.
"""

from __future__ import annotations

import errno
import os

from wherry.linux.libc import MACHINE, syscall
from wherry.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HELD_LIMIT = 64
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Visit:
    """One name met by `walk`: valid until the next step.

    `dir_fd` is the directory that holds it; `path` its names from the root, parted by slashes.
    """

    __slots__ = ("dir_fd", "name", "path", "skip", "stat")

    def __init__(self, dir_fd: int, name: bytes, path: bytes, stat: os.stat_result) -> None:
        self.dir_fd = dir_fd
        self.name = name
        self.path = path
        self.stat = stat
        self.skip = False
        """Set it to leave out what is below this directory."""


class _Level:
    """A directory on the way down: its descriptor while held, and what is left to visit."""

    __slots__ = ("fd", "identity", "names", "path")

    def __init__(self, fd: int, path: bytes, *, ordered: bool) -> None:
        self.fd = fd
        self.path = path
        status = os.fstat(fd)
        self.identity = (status.st_dev, status.st_ino)
        names = [os.fsencode(name) for name in os.listdir(fd)]
        if ordered:
            names.sort(reverse=True)
        self.names = names


def walk(root_fd: int, *, ordered: bool = False, cross_mounts: bool = False) -> Iterator[Visit]:
    """Every name below `root_fd`, a directory before what it holds; `ordered` by bytes.

    What vanishes meanwhile is left out; mounts are visited but not entered unless asked.

    Raises:
        OSError: a directory cannot be read, or was moved while it was walked.
    """
    levels = [_Level(os.open(".", DIRECTORY, dir_fd=root_fd), b"", ordered=ordered)]
    try:
        while levels:
            level = levels[-1]
            if not level.names:
                levels.pop()
                _ascend(level, levels)
                continue
            name = level.names.pop()
            try:
                status = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            visit = Visit(level.fd, name, level.path + name, status)
            yield visit
            if status.st_mode & 0o170000 == 0o040000 and not visit.skip:
                _descend(levels, visit, ordered=ordered, cross_mounts=cross_mounts)
    finally:
        for level in levels:
            if level.fd >= 0:
                os.close(level.fd)


def _descend(levels: list[_Level], visit: Visit, *, ordered: bool, cross_mounts: bool) -> None:
    try:
        if cross_mounts:
            fd = os.open(visit.name, DIRECTORY, dir_fd=visit.dir_fd)
        else:
            fd = open_same_mount(visit.dir_fd, visit.name)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return
    levels.append(_Level(fd, visit.path + b"/", ordered=ordered))
    if len(levels) > HELD_LIMIT:
        far = levels[-1 - HELD_LIMIT]
        os.close(far.fd)
        far.fd = -1


def _ascend(level: _Level, levels: list[_Level]) -> None:
    """Close `level`; open the one above again if it was let go."""
    try:
        if levels and levels[-1].fd < 0:
            fd = os.open("..", DIRECTORY, dir_fd=level.fd)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != levels[-1].identity:
                os.close(fd)
                raise OSError(errno.ESTALE, "a directory was moved while it was walked")
            levels[-1].fd = fd
    finally:
        os.close(level.fd)
        level.fd = -1


def open_same_mount(dir_fd: int, name: bytes | str) -> int:
    """Open the directory `name`, which is neither a link nor a mount; the caller owns the descriptor.

    The device number does not tell a mount: a bind mount of the same file system has the same one.

    Raises:
        OSError: EXDEV for a mount.
    """
    resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS
    return openat2(dir_fd, os.fsdecode(name), DIRECTORY, 0, resolve)


def remove_tree(dir_fd: int, name: bytes | str) -> None:
    """Remove `name` and, if it is a directory, all below it; nothing there is no error.

    Raises:
        OSError: EBUSY or EXDEV for a mount inside, which is left as it is.
    """
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    try:
        fd = open_same_mount(dir_fd, name)
    except FileNotFoundError:
        return
    try:
        empty_directory(fd)
    finally:
        os.close(fd)
    _remove_empty(dir_fd, name)


def empty_directory(root_fd: int) -> None:
    """Remove all that is in the directory, which stays.

    Directories deeper than `HELD_LIMIT` are moved up to the root first, so the number of open
    descriptors is bounded whatever the depth.
    """
    while True:
        far = _remove_below(root_fd, depth=0)
        if far is None:
            return
        holder, name = far
        try:
            # A random name: what a hostile tree already holds must not be in the way.
            os.rename(name, ".removing-" + os.urandom(8).hex(), src_dir_fd=holder, dst_dir_fd=root_fd)
        finally:
            os.close(holder)


def _remove_below(fd: int, *, depth: int) -> tuple[int, bytes] | None:
    """Remove what is in `fd`; a directory that is too deep is returned with its open holder."""
    for text in os.listdir(fd):
        name = os.fsencode(text)
        try:
            os.unlink(name, dir_fd=fd)
            continue
        except FileNotFoundError:
            continue
        except (IsADirectoryError, PermissionError):
            pass
        if depth == HELD_LIMIT:
            return os.dup(fd), name
        far = _remove_directory(fd, name, depth=depth)
        if far is not None:
            return far
    return None


def _remove_directory(fd: int, name: bytes, *, depth: int) -> tuple[int, bytes] | None:
    try:
        below = open_same_mount(fd, name)
    except FileNotFoundError:
        return None
    try:
        far = _remove_below(below, depth=depth + 1)
    finally:
        os.close(below)
    if far is None:
        _remove_empty(fd, name)
    return far


def _remove_empty(dir_fd: int, name: bytes | str) -> None:
    try:
        os.rmdir(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass  # somebody else removes the same tree


def tree_usage(path: str | os.PathLike[str]) -> tuple[int, int]:
    """The disk bytes and the inodes of the tree at `path`; a hard link counts once."""
    root_fd = os.open(path, DIRECTORY)
    try:
        blocks, inodes = os.fstat(root_fd).st_blocks, 1
        seen: set[int] = set()
        for visit in walk(root_fd):
            status = visit.stat
            if status.st_nlink > 1 and status.st_mode & 0o170000 != 0o040000:
                if status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
            blocks += status.st_blocks
            inodes += 1
    finally:
        os.close(root_fd)
    return blocks * 512, inodes


def sync_file_system(path: str | os.PathLike[str]) -> None:
    """Bring everything in the file system that holds `path` to the disk: one call for a whole tree."""
    fd = os.open(path, DIRECTORY)
    try:
        syscall("syncfs", _SYNCFS, fd)
    finally:
        os.close(fd)


_SYNCFS = 306 if MACHINE == "x86_64" else 267
