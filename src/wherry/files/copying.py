"""Copying a tree with everything a layer holds: owners, times, links, devices, attributes, holes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from wherry.files.attributes import copy_attributes, descriptor_path, read_xattrs, write_xattrs
from wherry.files.trees import DIRECTORY, Visit, walk

FICLONE = 0x40049409
COPY_BYTES = 1 << 24


def copy_tree(source_fd: int, target_fd: int) -> None:
    """Copy all below `source_fd`, and its own attributes, into the empty directory `target_fd`.

    Files share their extents where the file system can; holes stay holes; hard links stay
    together.  Sockets are left out.

    Raises:
        OSError: what is there already is a part of the tree.
    """
    links: dict[int, bytes] = {}
    directories: list[tuple[bytes, os.stat_result]] = []
    with _Parents(target_fd) as parents:
        for visit in walk(source_fd, ordered=True):
            parent_fd = parents.open(visit.path[: -len(visit.name) - 1])
            _copy_one(visit, parent_fd, parents, links)
            if stat.S_ISDIR(visit.stat.st_mode):
                directories.append((visit.path, visit.stat))
        # Last, and the deepest first: filling a directory changes its time.
        for path, status in reversed(directories):
            os.utime(parents.open(path), ns=(status.st_atime_ns, status.st_mtime_ns))
    copy_attributes(source_fd, target_fd)


class _Parents:
    """The directories of the copy by path; the last one stays open."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._path = b""
        self._fd = os.dup(root_fd)

    def open(self, path: bytes) -> int:
        if path != self._path:
            fd = os.dup(self._root_fd)
            for name in filter(None, path.split(b"/")):
                try:
                    below = os.open(name, DIRECTORY, dir_fd=fd)
                finally:
                    os.close(fd)
                fd = below
            os.close(self._fd)
            self._fd, self._path = fd, path
        return self._fd

    def __enter__(self) -> _Parents:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _copy_one(visit: Visit, parent_fd: int, parents: _Parents, links: dict[int, bytes]) -> None:
    name, status = visit.name, visit.stat
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=parent_fd)
        source = os.open(name, DIRECTORY, dir_fd=visit.dir_fd)
        try:
            copy_attributes(source, parents.open(visit.path))
        finally:
            os.close(source)
        return
    if status.st_nlink > 1:
        first = links.setdefault(status.st_ino, visit.path)
        if first != visit.path:
            directory, _, source_name = first.rpartition(b"/")
            target = os.dup(parent_fd)
            try:
                holder = parents.open(directory)
                os.link(source_name, name, src_dir_fd=holder, dst_dir_fd=target, follow_symlinks=False)
            finally:
                os.close(target)
            return
    if kind == stat.S_IFREG:
        _copy_file(visit, parent_fd)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=visit.dir_fd), name, dir_fd=parent_fd)
        _copy_named_attributes(visit, parent_fd)
    elif kind != stat.S_IFSOCK:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=parent_fd)
        _copy_named_attributes(visit, parent_fd)


def _copy_file(visit: Visit, parent_fd: int) -> None:
    source = os.open(visit.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=visit.dir_fd)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(visit.name, flags, 0o600, dir_fd=parent_fd)
        try:
            _copy_data(source, target, visit.stat.st_size)
            copy_attributes(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_data(source: int, target: int, size: int) -> None:
    if size == 0:
        return
    try:
        fcntl.ioctl(target, FICLONE, source)
        return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS):
            raise
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # a hole up to the end
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        while start < end:
            copied = os.copy_file_range(source, target, min(end - start, COPY_BYTES), start, start)
            if copied == 0:
                return
            start += copied
        position = end


def _copy_named_attributes(visit: Visit, parent_fd: int) -> None:
    """Owner, mode, attributes and times of a link or a device, which are not opened."""
    name, status = visit.name, visit.stat
    os.chown(name, status.st_uid, status.st_gid, dir_fd=parent_fd, follow_symlinks=False)
    path = descriptor_path(parent_fd, name)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, status.st_mode & 0o7777)
    write_xattrs(path, read_xattrs(descriptor_path(visit.dir_fd, name)))
    times = status.st_atime_ns, status.st_mtime_ns
    os.utime(name, ns=times, dir_fd=parent_fd, follow_symlinks=False)
