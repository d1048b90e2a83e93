"""From a directory to an archive: names in order, hard links together, removals as whiteouts."""

from __future__ import annotations

import os
import stat

from wherry.files.attributes import descriptor_path, read_xattrs
from wherry.files.overlay import is_opaque, is_whiteout
from wherry.files.tar.entry import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    Entry,
)
from wherry.files.tar.extract import OPAQUE, WHITEOUT
from wherry.files.trees import DIRECTORY as OPEN_DIRECTORY
from wherry.files.trees import Visit, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wherry.files.tar.writer import TarWriter

CHUNK_BYTES = 1 << 20
_KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
}


def write_tree(
    root_fd: int,
    writer: TarWriter,
    *,
    prefix: bytes = b"",
    overlay: bool = False,
    include_root: bool = False,
    wanted: Callable[[Visit], bool] | None = None,
    cross_mounts: bool = False,
) -> None:
    """Write all below `root_fd` to `writer`, which is not closed.

    With `overlay` the directory is an upper one of overlayfs, and its marks become whiteouts.
    `prefix` stands before every name; a directory that is not `wanted` is left out with what it
    holds.  Sockets are left out.  A file that shrinks meanwhile is padded with zeros, one that
    grows is cut, so that the archive stays whole.

    Raises:
        OSError: something cannot be read.
    """
    links: dict[tuple[int, int], bytes] = {}
    if include_root:
        fd = os.open(".", OPEN_DIRECTORY, dir_fd=root_fd)
        try:
            writer.add(_describe(prefix.rstrip(b"/") + b"/" if prefix else b"./", os.fstat(fd), fd, b"."))
        finally:
            os.close(fd)
    for visit in walk(root_fd, ordered=True, cross_mounts=cross_mounts):
        if wanted is not None and not wanted(visit):
            visit.skip = True
            continue
        name = prefix + visit.path
        if overlay and is_whiteout(visit.stat):
            holder, _, last = name.rpartition(b"/")
            writer.add(Entry((holder + b"/" if holder else b"") + WHITEOUT + last, mode=0, mtime_ns=0))
            continue
        _write_one(visit, name, writer, links)
        if overlay and stat.S_ISDIR(visit.stat.st_mode):
            _write_opaque(visit, name, writer)


def _write_one(visit: Visit, name: bytes, writer: TarWriter, links: dict[tuple[int, int], bytes]) -> None:
    status = visit.stat
    if stat.S_IFMT(status.st_mode) not in _KINDS:
        return  # a socket
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        first = links.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            link = Entry(name, HARD_LINK, link=first, mode=stat.S_IMODE(status.st_mode))
            link.uid, link.gid, link.mtime_ns = status.st_uid, status.st_gid, status.st_mtime_ns
            writer.add(link)
            return
    if stat.S_ISREG(status.st_mode):
        _write_file(visit, name, writer)
        return
    if stat.S_ISDIR(status.st_mode):
        fd = os.open(visit.name, OPEN_DIRECTORY, dir_fd=visit.dir_fd)
        try:
            writer.add(_describe(name + b"/", status, fd, visit.name))
        finally:
            os.close(fd)
        return
    writer.add(_describe(name, status, visit.dir_fd, visit.name))


def _write_file(visit: Visit, name: bytes, writer: TarWriter) -> None:
    # O_NONBLOCK: the name may have become a FIFO since it was looked at, and is then refused below.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(visit.name, flags, dir_fd=visit.dir_fd)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            entry = _describe(name, status, fd, visit.name)
            writer.add(entry, _read_exactly(fd, entry.size))
    finally:
        os.close(fd)


def _read_exactly(fd: int, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = os.read(fd, min(left, CHUNK_BYTES)) or bytes(min(left, CHUNK_BYTES))
        left -= len(chunk)
        yield chunk


def _write_opaque(visit: Visit, name: bytes, writer: TarWriter) -> None:
    fd = os.open(visit.name, OPEN_DIRECTORY, dir_fd=visit.dir_fd)
    try:
        if is_opaque(fd):
            writer.add(Entry(name + b"/" + OPAQUE, mode=0))
    finally:
        os.close(fd)


def _describe(name: bytes, status: os.stat_result, fd: int, last: bytes) -> Entry:
    """The entry of a file; `fd` is its own descriptor, or of what holds it for links and devices."""
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    entry = Entry(
        name,
        kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == REGULAR else 0,
        mtime_ns=status.st_mtime_ns,
    )
    if kind in (REGULAR, DIRECTORY):
        entry.xattrs = read_xattrs(fd)
        return entry
    entry.xattrs = read_xattrs(descriptor_path(fd, last))
    if kind == SYMLINK:
        entry.link = os.readlink(last, dir_fd=fd)
    elif kind != FIFO:
        entry.device = os.major(status.st_rdev), os.minor(status.st_rdev)
    return entry
