"""Copying a directory's content with everything that belongs to it, from descriptor to descriptor.

No path is followed out of either side: each name is opened in its directory, never through a link.
"""

from __future__ import annotations

import os
import stat

from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    Links = dict[tuple[int, int], str]

_DEEPEST = 512
_BLOCK_BYTES = 1 << 30
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source_fd: int, target_fd: int) -> None:
    """Copy what is in directory `source_fd`, and the directory's own attributes, to `target_fd`.

    Owners, modes, times, extended attributes, hard links, devices and FIFOs are kept.

    Raises:
        OSError: what could not be copied; the rest is there.
        InvalidArgument: a tree too deep to be meant.
    """
    _Copy(target_fd).directory(source_fd, target_fd, "", 0)


class _Copy:
    __slots__ = ("_links", "_target_fd")

    def __init__(self, target_fd: int) -> None:
        self._target_fd = target_fd
        self._links: Links = {}  # files of several names, by inode: the first name's path in the target

    def directory(self, source_fd: int, target_fd: int, path: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise InvalidArgument(f"a directory more than {_DEEPEST} levels deep")
        for name in os.listdir(source_fd):
            status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
            here = f"{path}/{name}" if path else name
            if stat.S_ISDIR(status.st_mode):
                self._subdirectory(source_fd, target_fd, name, here, depth)
            elif not self._linked(status, target_fd, name, here):
                self._leaf(source_fd, target_fd, name, status)
        _copy_attributes(source_fd, target_fd)

    def _subdirectory(self, source_fd: int, target_fd: int, name: str, path: str, depth: int) -> None:
        os.mkdir(name, 0o700, dir_fd=target_fd)
        inner_source = os.open(name, _DIRECTORY, dir_fd=source_fd)
        try:
            inner_target = os.open(name, _DIRECTORY, dir_fd=target_fd)
            try:
                self.directory(inner_source, inner_target, path, depth + 1)
            finally:
                os.close(inner_target)
        finally:
            os.close(inner_source)

    def _linked(self, status: os.stat_result, target_fd: int, name: str, path: str) -> bool:
        if status.st_nlink < 2:
            return False
        first = self._links.setdefault((status.st_dev, status.st_ino), path)
        if first == path:
            return False
        os.link(first, name, src_dir_fd=self._target_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        return True

    def _leaf(self, source_fd: int, target_fd: int, name: str, status: os.stat_result) -> None:
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            _copy_file(source_fd, target_fd, name)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
        elif kind != stat.S_IFSOCK:  # a socket is nothing without its process
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target_fd)
        if kind != stat.S_IFREG and kind != stat.S_IFSOCK:
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=target_fd, follow_symlinks=False)


def _copy_file(source_fd: int, target_fd: int, name: str) -> None:
    inner_source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_fd)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        inner_target = os.open(name, flags, 0o600, dir_fd=target_fd)
        try:
            while os.sendfile(inner_target, inner_source, None, _BLOCK_BYTES):
                pass
            _copy_attributes(inner_source, inner_target)
        finally:
            os.close(inner_target)
    finally:
        os.close(inner_source)


def _copy_attributes(source_fd: int, target_fd: int) -> None:
    status = os.fstat(source_fd)
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, stat.S_IMODE(status.st_mode))  # after chown, which takes set-user-ID away
    for name in os.listxattr(source_fd):
        if not name.startswith("trusted.overlay."):
            os.setxattr(target_fd, name, os.getxattr(source_fd, name))
    os.utime(target_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
