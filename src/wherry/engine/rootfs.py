"""A container's files while nothing runs in it: looked up through its layers, without a mount.

A second overlay mount on one upper directory corrupts it silently, so before the start the
few files that matter (passwd, group) are found as overlayfs would find them: the topmost
layer decides, a whiteout hides, an opaque directory ends the search, and symlinks start at
the root.  Every step is taken from open directories; no link is ever followed by the kernel.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wherry.files.attributes import copy_attributes
from wherry.files.trees import DIRECTORY

LINK_LIMIT = 40
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_ENVIRONMENT_FILE = ".dockerenv"


class LayeredRoot:
    """The merged view of `layers`, topmost first.  The caller sees that nothing mounts them for writing."""

    def __init__(self, layers: Sequence[Path]) -> None:
        self._layers = layers

    def read(self, path: str, *, limit_bytes: int) -> bytes:
        """The beginning of a regular file, or nothing where there is none."""
        with self._open_roots() as roots:
            found = self._find(roots, path)
            try:
                if found.fd < 0 or not stat.S_ISREG(os.fstat(found.fd).st_mode):
                    return b""
                return _read(found.fd, limit_bytes)
            finally:
                found.close()

    def has_name(self, directory: str, name: str) -> bool:
        """Whether `directory` holds `name`, even as a link that leads nowhere."""
        with self._open_roots() as roots:
            found = self._find(roots, directory)
            entry = step(found.directories, name)
            exists = entry.exists or bool(entry.link)
            entry.close()
            found.close()
            return exists

    @contextmanager
    def directories(self, path: str) -> Iterator[list[int]]:
        """The directories merged at `path`, topmost first, as descriptors; none for anything else."""
        with self._open_roots() as roots:
            found = self._find(roots, path)
            try:
                yield found.directories
            finally:
                found.close()

    @contextmanager
    def _open_roots(self) -> Iterator[list[int]]:
        roots = [os.open(layer, DIRECTORY) for layer in self._layers]
        try:
            yield roots
        finally:
            for fd in roots:
                os.close(fd)

    def _find(self, roots: list[int], path: str) -> Found:
        """Walk `path`; the answer holds descriptors of its own."""
        names = [name for name in path.split("/") if name and name != "."]
        trail = [Found([os.dup(fd) for fd in roots])]
        links = 0
        try:
            while names:
                name = names.pop(0)
                if name == "..":
                    if len(trail) > 1:
                        trail.pop().close()
                    continue
                found = step(trail[-1].directories, name)
                if found.link:
                    links += 1
                    if links > LINK_LIMIT:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                    if found.link.startswith("/"):
                        _close_all(trail[1:])
                        del trail[1:]
                    names = [part for part in found.link.split("/") if part and part != "."] + names
                    continue
                if not found.directories and names:
                    found.close()
                    return Found([])
                trail.append(found)
            return trail.pop()
        finally:
            _close_all(trail)


class Found:
    """What a name is: directories of several layers, a file's descriptor, a link's text, or nothing."""

    __slots__ = ("directories", "exists", "fd", "link")

    def __init__(self, directories: list[int], *, fd: int = -1, link: str = "", exists: bool = False) -> None:
        self.directories = directories
        self.fd = fd
        self.link = link
        self.exists = exists or bool(directories) or fd >= 0

    def close(self) -> None:
        """Close its descriptors."""
        for fd in self.directories:
            os.close(fd)
        if self.fd >= 0:
            os.close(self.fd)
        self.directories, self.fd = [], -1


def step(directories: Sequence[int], name: str) -> Found:
    """What `name` is in the merge of `directories`."""
    merged: list[int] = []
    for directory in directories:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            merged.append(os.open(name, DIRECTORY, dir_fd=directory))
            if _is_opaque(merged[-1]):
                break
            continue
        if merged or (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0):
            break  # hidden by a directory above, or a whiteout
        return _leaf(directory, name, status)
    return Found(merged)


def _leaf(directory: int, name: str, status: os.stat_result) -> Found:
    if stat.S_ISLNK(status.st_mode):
        return Found([], link=os.readlink(name, dir_fd=directory))
    if stat.S_ISREG(status.st_mode):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return Found([], fd=os.open(name, flags, dir_fd=directory))
    return Found([], exists=True)


def _is_opaque(fd: int) -> bool:
    for name in _OPAQUE:
        try:
            if os.getxattr(fd, name) == b"y":
                return True
        except OSError:
            continue
    return False


def _close_all(trail: list[Found]) -> None:
    for found in trail:
        found.close()


def _read(fd: int, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = limit_bytes
    while left and (part := os.read(fd, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def place_marks(upper: Path, lowers: Sequence[Path]) -> None:
    """Put what programs expect of a Docker container into a new snapshot: /.dockerenv and /etc/mtab.

    The mount points (/proc, /dev, /etc/hosts, …) are made by the runtime in the merged root.
    /etc is made here only as the image has it, since in the merge the upper one decides.
    """
    upper_fd = os.open(upper, DIRECTORY)
    try:
        _make_empty(_ENVIRONMENT_FILE, upper_fd)
        root = LayeredRoot([upper, *lowers])
        with root.directories("etc") as found:
            if found and not root.has_name("etc", "mtab") and not _leads_elsewhere(upper, lowers):
                _link_mtab(upper_fd, found[0])
    finally:
        os.close(upper_fd)


def _leads_elsewhere(upper: Path, lowers: Sequence[Path]) -> bool:
    """Whether /etc leads somewhere else, where we make nothing."""
    for layer in (upper, *lowers):
        try:
            return not stat.S_ISDIR(os.lstat(layer / "etc").st_mode)
        except OSError:
            continue
    return True


def _link_mtab(upper_fd: int, image_etc_fd: int) -> None:
    try:
        os.mkdir("etc", 0o755, dir_fd=upper_fd)
        made = os.open("etc", DIRECTORY, dir_fd=upper_fd)
        copy_attributes(image_etc_fd, made)
    except FileExistsError:
        made = os.open("etc", DIRECTORY, dir_fd=upper_fd)
    try:
        os.symlink("/proc/mounts", "mtab", dir_fd=made)
    except FileExistsError:
        pass
    finally:
        os.close(made)


def _make_empty(name: str, directory_fd: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, 0o755, dir_fd=directory_fd)
    except FileExistsError:
        return
    os.fchmod(fd, 0o755)
    os.close(fd)
