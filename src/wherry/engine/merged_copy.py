"""Copying what a container would see in a directory, out of its layers and without a mount."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from wherry.engine.rootfs import step
from wherry.errors import InvalidArgument
from wherry.files.attributes import copy_attributes, descriptor_path, read_xattrs, write_xattrs
from wherry.files.trees import DIRECTORY

DEPTH_LIMIT = 200
COPY_BYTES = 1 << 24


def copy_merged(directories: Sequence[int], target_fd: int, *, depth: int = 0) -> None:
    """Copy the merge of `directories`, topmost first, with its attributes into the empty `target_fd`.

    Raises:
        InvalidArgument: nested deeper than is copied.
    """
    if depth > DEPTH_LIMIT:
        raise InvalidArgument(f"directories nested deeper than {DEPTH_LIMIT} cannot be copied into a volume")
    done: set[str] = set()
    for index, directory in enumerate(directories):
        for name in os.listdir(directory):
            if name in done:
                continue
            done.add(name)
            if _is_directory(directory, name):
                _copy_directory(directories[index:], name, target_fd, depth)
            elif not _is_whiteout(directory, name):
                _copy_entry(directory, name, target_fd)
    copy_attributes(directories[0], target_fd)


def _copy_directory(directories: Sequence[int], name: str, target_fd: int, depth: int) -> None:
    found = step(directories, name)
    try:
        os.mkdir(name, 0o700, dir_fd=target_fd)
        below = os.open(name, DIRECTORY, dir_fd=target_fd)
        try:
            copy_merged(found.directories, below, depth=depth + 1)
        finally:
            os.close(below)
    finally:
        found.close()


def _is_directory(directory: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _is_whiteout(directory: int, name: str) -> bool:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _copy_entry(directory: int, name: str, target_fd: int) -> None:
    """Copy what is no directory; sockets are left out."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        _copy_file(directory, name, target_fd)
        return
    if kind == stat.S_IFSOCK:
        return
    if kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=directory), name, dir_fd=target_fd)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
    path = descriptor_path(target_fd, name)
    if kind != stat.S_IFLNK:
        os.chmod(path, stat.S_IMODE(status.st_mode))
    write_xattrs(path, read_xattrs(descriptor_path(directory, name)))
    times = status.st_atime_ns, status.st_mtime_ns
    os.utime(name, ns=times, dir_fd=target_fd, follow_symlinks=False)


def _copy_file(directory: int, name: str, target_fd: int) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(name, flags, 0o600, dir_fd=target_fd)
        try:
            while os.sendfile(target, source, None, COPY_BYTES):
                pass
            copy_attributes(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)
