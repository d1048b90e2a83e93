"""Paths inside a root that is not ours: every link of theirs is resolved within it.

The root belongs to an image or to a running container, and may change while we look.  So a path is
opened once, from the root's descriptor, by the kernel (`openat2` with RESOLVE_IN_ROOT: absolute links and
`..` end at the root, links of procfs are refused), and from then on only the descriptor is used.
"""

from __future__ import annotations

import errno
import os
import posixpath

from wherry.linux.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2

_ATTEMPTS = 128  # a rename beside a `..` makes the kernel give up with EAGAIN
_LINKS = 16
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def open_inside(
    root_fd: int, path: str, flags: int, mode: int = 0, *, follow: bool = True, resolve: int = 0
) -> int:
    """Open `path` below `root_fd`; without `follow` any symbolic link in it is an error.

    The caller owns the descriptor, which is close-on-exec.

    Raises:
        OSError: ENOENT, ENOTDIR; ELOOP for a link that may not be followed.
    """
    resolve |= RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (0 if follow else RESOLVE_NO_SYMLINKS)
    for _ in range(_ATTEMPTS):
        try:
            return openat2(root_fd, path, flags, mode, resolve)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def directory_inside(root_fd: int, path: str, *, mode: int = 0o755, follow: bool = True) -> int:
    """Open directory `path` below `root_fd`, made with its parents where it is missing.

    Raises:
        OSError: ENOTDIR for a file in the way, ELOOP for a link with `follow` off.
    """
    return _directory(root_fd, path, mode, follow, _LINKS)


def file_inside(root_fd: int, path: str, *, mode: int = 0o644) -> int:
    """Open (O_PATH) file `path` below `root_fd`, made empty, with its parents, where it is missing.

    Raises:
        OSError: ENOTDIR for a file in place of a parent.
    """
    try:
        return open_inside(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        return _make_file(root_fd, path, mode, _LINKS)


def parent_inside(root_fd: int, path: str) -> tuple[int, str]:
    """Open the parent directory of `path`, made where it is missing: (descriptor, last name).

    Raises:
        OSError: EINVAL for a path without a last name.
    """
    head, name = posixpath.split(posixpath.normpath(path))
    if not name or name == "..":
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return directory_inside(root_fd, head or "/"), name


def _directory(root_fd: int, path: str, mode: int, follow: bool, links: int) -> int:
    try:
        return open_inside(root_fd, path, _DIRECTORY, follow=follow)
    except FileNotFoundError:
        head, name = posixpath.split(posixpath.normpath("/" + path))
        if not name:
            raise
    parent = _directory(root_fd, head, mode, follow, links)
    try:
        os.mkdir(name, mode, dir_fd=parent)
        # Without following: what was made just now is no link, and if it is one by now, somebody
        # swapped it.
        return openat2(parent, name, _DIRECTORY, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    except FileExistsError:  # a link to nowhere: make the directory where it points, within the root
        target = _link_target(parent, path, links if follow else 0)
        return _directory(root_fd, target, mode, follow, links - 1)
    finally:
        os.close(parent)


def _make_file(root_fd: int, path: str, mode: int, links: int) -> int:
    parent, name = parent_inside(root_fd, path)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDONLY | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=parent)
    except FileExistsError:
        return _make_file(root_fd, _link_target(parent, path, links), mode, links - 1)
    finally:
        os.close(parent)


def _link_target(parent: int, path: str, links: int) -> str:
    """Where the link `path` points, as a path from the root."""
    if not links:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    try:
        target = os.readlink(posixpath.basename(path), dir_fd=parent)
    except OSError:  # no link: something else came into being there
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target))
