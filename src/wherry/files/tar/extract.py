"""Extracting a layer beneath a root.

Nothing an archive holds can reach outside the root: every name is used with the descriptor of
its directory, the last name is never followed, and attributes are set through descriptors
(CVE-2021-41089, CVE-2021-29136, CVE-2018-15664).  What overlayfs keeps for itself does not
come in: whiteout devices and trusted.overlay attributes (CVE-2023-0386).

A `.wh.NAME` entry removes NAME of the layers below, `.wh..wh..opq` all of them in its
directory; entries of the same layer stay, in whatever order they come.

Spec: image-spec, layer.md.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.errors import InvalidArgument, ResourceExhausted
from wherry.files.atomic import write_all
from wherry.files.attributes import descriptor_path, write_xattrs
from wherry.files.overlay import is_whiteout
from wherry.files.tar.below import Below
from wherry.files.tar.directories import Directories, Directory, entry_times
from wherry.files.tar.entry import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARD_LINK,
    REGULAR,
    SYMLINK,
    Entry,
    Limits,
    MalformedArchive,
)
from wherry.files.tar.reader import TarReader
from wherry.files.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

    from wherry.files.tar.reader import Readable

    Whiteouts = Literal["overlay", "native", "plain"]

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_RESERVED = b".wh..wh."
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODE_TYPES = {CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}


class ExtractionFailed(InvalidArgument):
    """An entry cannot be made: the archive contradicts itself or the file system refuses."""


def extract_layer(
    stream: Readable,
    root_fd: int,
    *,
    whiteouts: Whiteouts = "overlay",
    lowers: tuple[int, ...] = (),
    limits: Limits | None = None,
    on_entry: Callable[[Entry], None] | None = None,
) -> None:
    """Extract the whole archive into the directory `root_fd`.

    `whiteouts` says how a removal is written: as overlayfs does, by removing (`native`), or
    not at all, so that such a name is a name like any other (`plain`).  `lowers` are the
    layers below an overlay's directory, the nearest first.

    Raises:
        MalformedArchive: the bytes are no archive, or one beyond the limits.
        ExtractionFailed: an entry cannot be made.
        ResourceExhausted: the disk is full.
    """
    reader = TarReader(stream, limits)
    with Extraction(root_fd, whiteouts=whiteouts, lowers=lowers) as extraction:
        for entry in reader:
            extraction.add(entry, reader.data())
            if on_entry is not None:
                on_entry(entry)
        extraction.finish()


class Extraction:
    """An extraction in progress, entry by entry."""

    def __init__(
        self, root_fd: int, *, whiteouts: Whiteouts = "overlay", lowers: tuple[int, ...] = ()
    ) -> None:
        self._whiteouts = whiteouts
        self._touched: set[bytes] = set()
        self._below = Below(lowers)
        restores = whiteouts != "plain"  # in a tree that others use, a new file shows in its directory's time
        self._directories = Directories(root_fd, self._below, self._is_below, restores=restores)
        self._root = os.geteuid() == 0
        # A directory of a layer below may hand its group down.
        self._own_new = whiteouts != "overlay" or bool(os.fstat(root_fd).st_mode & stat.S_ISGID)
        self._ids = os.geteuid(), os.getegid()
        self._umask = _umask()
        self._emptied: set[bytes] = set()
        self._hidden: list[bytes] = []

    def __enter__(self) -> Extraction:
        return self

    def __exit__(self, *_: object) -> None:
        self._directories.close()

    def add(self, entry: Entry, data: Iterable[memoryview]) -> None:
        """Make one entry.

        Raises:
            ExtractionFailed: it cannot be made.
            MalformedArchive: its name is not one.
            ResourceExhausted: the disk is full.
        """
        path = clean_path(entry.name)
        try:
            self._directories.bound()
            if not path:
                self._set_root(entry)
                return
            holder, _, name = path.rpartition(b"/")
            parent = self._directories.open(holder)
            if self._whiteouts != "plain" and name.startswith(WHITEOUT):
                self._touch(parent.path)
                self._remove_from_below(parent, name, entry)
                return
            self._touch(parent.join(name))
            self._make(parent, name, entry, data)
        except OSError as error:
            raise _translate(error, entry) from error

    def finish(self) -> None:
        """Set the attributes of the directories; the extraction is then complete."""
        try:
            self._drop_idle_whiteouts()
            self._directories.finish()
        except OSError as error:
            raise _translate(error, None) from error

    def _make(self, parent: Directory, name: bytes, entry: Entry, data: Iterable[memoryview]) -> None:
        kind = entry.kind
        if kind == REGULAR:
            self._make_file(parent, name, entry, data)
        elif kind == DIRECTORY:
            self._make_directory(parent, name, entry)
        elif kind == SYMLINK:
            self._make_symlink(parent, name, entry)
        elif kind == HARD_LINK:
            self._make_hard_link(parent, name, entry)
        else:
            self._make_node(parent, name, entry)

    def _make_file(self, parent: Directory, name: bytes, entry: Entry, data: Iterable[memoryview]) -> None:
        mode = entry.mode
        try:
            fd = os.open(name, _CREATE, mode & 0o777, dir_fd=parent.fd)
        except FileExistsError:
            self._clear(parent, name)
            fd = os.open(name, _CREATE, mode & 0o777, dir_fd=parent.fd)
        try:
            if entry.sparse is not None:
                _write_sparse(fd, entry, data)
            elif entry.size:
                for piece in data:
                    write_all(fd, piece)
            if self._root and (self._own_new or (entry.uid, entry.gid) != self._ids):
                os.fchown(fd, entry.uid, entry.gid)
            if mode & (0o7000 | self._umask):
                os.fchmod(fd, mode)  # after the owner, which clears setuid
            if entry.xattrs:
                write_xattrs(fd, entry.xattrs)  # after the owner, which clears capabilities
            os.utime(fd, ns=entry_times(entry))
        finally:
            os.close(fd)

    def _make_directory(self, parent: Directory, name: bytes, entry: Entry) -> None:
        replaced = False
        try:
            directory = self._directories.make(parent, name)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent.fd, follow_symlinks=False).st_mode):
                directory = self._directories.open(parent.join(name))
            else:
                self._clear(parent, name)
                replaced = True
                directory = self._directories.make(parent, name)
        if replaced and self._whiteouts == "overlay":
            # Whatever had the name hid the directory below; its content must not come back.
            self._directories.hide_below(directory)
        self._directories.set_attributes(directory, entry)

    def _make_symlink(self, parent: Directory, name: bytes, entry: Entry) -> None:
        try:
            os.symlink(entry.link, name, dir_fd=parent.fd)
        except FileExistsError:
            self._clear(parent, name)
            os.symlink(entry.link, name, dir_fd=parent.fd)
        if self._root and (self._own_new or (entry.uid, entry.gid) != self._ids):
            os.chown(name, entry.uid, entry.gid, dir_fd=parent.fd, follow_symlinks=False)
        if entry.xattrs:
            write_xattrs(descriptor_path(parent.fd, name), entry.xattrs)
        os.utime(name, ns=entry_times(entry), dir_fd=parent.fd, follow_symlinks=False)

    def _make_hard_link(self, parent: Directory, name: bytes, entry: Entry) -> None:
        path = clean_path(entry.link)
        holder, _, source_name = path.rpartition(b"/")
        source_fd = os.dup(self._directories.open(holder).fd)
        try:
            status = os.stat(source_name or b".", dir_fd=source_fd, follow_symlinks=False)
            if is_whiteout(status):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            # Opening the other directory may have closed this one: ask again.
            parent = self._directories.open(parent.path)
            try:
                os.link(source_name, name, src_dir_fd=source_fd, dst_dir_fd=parent.fd, follow_symlinks=False)
            except FileExistsError:
                self._clear(parent, name)
                os.link(source_name, name, src_dir_fd=source_fd, dst_dir_fd=parent.fd, follow_symlinks=False)
        finally:
            os.close(source_fd)

    def _make_node(self, parent: Directory, name: bytes, entry: Entry) -> None:
        if entry.kind == CHARACTER and entry.device == (0, 0):
            raise ExtractionFailed(
                f"cannot extract {_shown(entry.name)}: a device 0:0 is a mark of overlayfs"
            )
        mode = _NODE_TYPES[entry.kind] | entry.mode & 0o7777
        device = os.makedev(*entry.device)
        try:
            os.mknod(name, mode, device, dir_fd=parent.fd)
        except FileExistsError:
            self._clear(parent, name)
            os.mknod(name, mode, device, dir_fd=parent.fd)
        # O_PATH: a device or a FIFO must not be opened.
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.fd)
        try:
            path = descriptor_path(fd)
            if self._root:
                os.chown(path, entry.uid, entry.gid)
            os.chmod(path, entry.mode)
            if entry.xattrs:
                write_xattrs(path, entry.xattrs)
            os.utime(path, ns=entry_times(entry))
        finally:
            os.close(fd)

    def _set_root(self, entry: Entry) -> None:
        if entry.kind != DIRECTORY:
            raise ExtractionFailed("cannot extract the root of the archive: it is no directory")
        self._directories.set_attributes(self._directories.root, entry)

    def _clear(self, parent: Directory, name: bytes) -> None:
        """Remove what has the name of the next entry; the last of a name wins."""
        remove_tree(parent.fd, name)
        self._directories.forget(parent.join(name))
        self._emptied.discard(parent.join(name))

    def _remove_from_below(self, parent: Directory, name: bytes, entry: Entry) -> None:
        """Carry out a whiteout."""
        if name == OPAQUE:
            self._hide_all(parent)
            return
        if name.startswith(_RESERVED):
            return  # what AUFS kept for itself
        target = name[len(WHITEOUT) :]
        if target in (b"", b".", b".."):
            raise MalformedArchive(f"invalid whiteout {_shown(entry.name)}")
        if self._whiteouts == "native":
            self._remove_untouched(parent, target)
        else:
            self._hide(parent, target)

    def _hide(self, parent: Directory, name: bytes) -> None:
        """Mark `name` as removed in an overlay; what this layer made of it stays."""
        path = parent.join(name)
        try:
            status = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            if self._directories.is_merged(parent) and self._below.shows(path):
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent.fd)
                self._hidden.append(path)
        else:
            if stat.S_ISDIR(status.st_mode):
                self._directories.hide_below(self._directories.open(path))

    def _hide_all(self, parent: Directory) -> None:
        if self._whiteouts == "native":
            self._remove_untouched_in(parent)
            return
        if parent.path in self._emptied:
            return
        self._emptied.add(parent.path)
        if parent.path:
            self._directories.hide_below(parent)
        else:
            # overlayfs does not look for the mark on a root, so every name below gets one of its own.
            for name in self._below.names():
                self._hide(parent, name)

    def _drop_idle_whiteouts(self) -> None:
        """Remove the marks in directories that became opaque afterwards: the kernel would list them."""
        for path in self._hidden:
            holder, _, name = path.rpartition(b"/")
            try:
                directory = self._directories.open(holder, make=False)
                status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # something else took the place of the directory
            if is_whiteout(status) and not self._directories.is_merged(directory):
                os.unlink(name, dir_fd=directory.fd)

    def _is_below(self, path: bytes) -> bool:
        """Whether what stands at `path` is of the layers below, in a tree that holds them too."""
        return self._whiteouts == "native" and path not in self._touched

    def _touch(self, path: bytes) -> None:
        """Remember that this layer holds `path`, and so what is above it."""
        while self._whiteouts == "native" and path and path not in self._touched:
            self._touched.add(path)
            path = path.rpartition(b"/")[0]

    def _remove_untouched(self, parent: Directory, name: bytes) -> None:
        """Remove what the layers below have of `name`; what this layer holds stays."""
        path = parent.join(name)
        if self._is_below(path):
            self._clear(parent, name)
            return
        if stat.S_ISDIR(os.stat(name, dir_fd=parent.fd, follow_symlinks=False).st_mode):
            self._remove_untouched_in(self._directories.open(path))

    def _remove_untouched_in(self, directory: Directory) -> None:
        if directory.fresh or directory.path in self._emptied:
            return
        # Once: a repeated mark must cost nothing (CVE-2026-95838).
        self._emptied.add(directory.path)
        for text in os.listdir(directory.fd):
            # Deeper ones may have closed this one: by path, which is cheap while it is held.
            self._remove_untouched(self._directories.open(directory.path), os.fsencode(text))


def clean_path(name: bytes) -> bytes:
    """`name` relative to the root, without `.` and empty parts; empty for the root itself.

    Raises:
        MalformedArchive: a part is `..`, so that the archive climbs out of where it is.
    """
    if not (name.startswith((b"/", b".")) or name.endswith(b"/") or b"//" in name or b"/." in name):
        return name
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise MalformedArchive(f"invalid tar archive: {_shown(name)} leads out of its directory")
    return b"/".join(parts)


def _write_sparse(fd: int, entry: Entry, data: Iterable[memoryview]) -> None:
    """Write the pieces at their offsets; what lies between stays a hole."""
    segments = iter(entry.sparse or ())
    position, left = 0, 0
    for piece in data:
        while piece:
            if not left:
                position, left = next(segments)
                os.lseek(fd, position, os.SEEK_SET)
            now = piece[:left]
            write_all(fd, now)
            left -= len(now)
            piece = piece[len(now) :]
    os.ftruncate(fd, entry.size)


def _umask() -> int:
    """The umask, read without changing it: other threads make files too."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return 0o777  # unknown: set every mode


def _translate(error: OSError, entry: Entry | None) -> Exception:
    what = f"cannot extract {_shown(entry.name)}" if entry else "cannot finish the extraction"
    text = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted(f"{what}: {text}")
    return ExtractionFailed(f"{what}: {text}")


def _shown(name: bytes) -> str:
    return repr(name.decode("utf-8", "backslashreplace"))
