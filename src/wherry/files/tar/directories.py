"""The directories of an extraction: opened once, made where missing, their attributes set last.

Every directory is reached from its parent's descriptor, one name at a time and without
following links.  Where a name is a link of the archive itself, its target is resolved here,
with the root as `/`: no path ever leads outside, whatever the archive holds.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.files.attributes import descriptor_path, read_xattrs, write_xattrs
from wherry.files.tar.entry import DIRECTORY as DIRECTORY_ENTRY
from wherry.files.tar.entry import Entry
from wherry.files.trees import DIRECTORY

HELD_LIMIT = 96
PENDING_LIMIT = 1 << 15
LINK_LIMIT = 40


class Directory:
    """An open directory; `path` is its names from the root, without links."""

    __slots__ = ("fd", "fresh", "path")

    def __init__(self, fd: int, path: bytes, *, fresh: bool) -> None:
        self.fd = fd
        self.path = path
        self.fresh = fresh
        """Made by this extraction: nothing from below is in it."""

    def join(self, name: bytes) -> bytes:
        """The path of `name` in this directory."""
        return self.path + b"/" + name if self.path else name


class Directories:
    """The directories beneath `root_fd`, by path.

    `lowers` are the directories of the layers below, the nearest first: a directory that the
    archive does not describe is made as it is there.
    """

    def __init__(self, root_fd: int, lowers: tuple[int, ...] = ()) -> None:
        self._root_fd = root_fd
        self._lowers = lowers
        self._held: dict[bytes, Directory] = {}
        self._aliases: dict[bytes, bytes] = {}
        # None: as below, looked up only if the archive never describes the directory.
        self._attributes: dict[bytes, Entry | None] = {}
        self._fresh: set[bytes] = set()
        self.root = Directory(os.open(".", DIRECTORY, dir_fd=root_fd), b"", fresh=False)
        self._root_attributes = describe(self.root.fd, b"")

    def open(self, path: bytes) -> Directory:
        """The directory at `path`, made with its parents where it is missing.

        Raises:
            OSError: something that is no directory is in the way, or too many links.
        """
        path = self._aliases.get(path, path)
        found = self._held.get(path)
        if found is not None:
            return found
        if not path:
            return self.root
        return self._walk(path)

    def _walk(self, path: bytes) -> Directory:
        """Go down from the root, or from the nearest directory that is held."""
        current = self.root
        names = path.split(b"/")
        for length in range(len(names) - 1, 0, -1):
            near = self._held.get(b"/".join(names[:length]))
            if near is not None:
                current, names = near, names[length:]
                break
        pending = names[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if len(self._held) > HELD_LIMIT:
                self._let_go(current)
            if name == b"..":
                current = self.open(current.path.rpartition(b"/")[0])
                continue
            below = self._step(current, name)
            if isinstance(below, Directory):
                current = below
                continue
            links += 1
            if links > LINK_LIMIT:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
            if below.startswith(b"/"):
                current = self.root
            pending += [part for part in reversed(below.split(b"/")) if part not in (b"", b".")]
        if links:
            self._aliases[path] = current.path
        return current

    def _step(self, parent: Directory, name: bytes) -> Directory | bytes:
        """The directory `name`, opened or made; or the target if it is a link."""
        path = parent.join(name)
        held = self._held.get(path)
        if held is not None:
            return held
        try:
            fd = os.open(name, DIRECTORY, dir_fd=parent.fd)
        except FileNotFoundError:
            return self.make(parent, name)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            status = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                return os.readlink(name, dir_fd=parent.fd)
            if not is_whiteout(status):
                raise
            os.unlink(name, dir_fd=parent.fd)
            made = self.make(parent, name)
            set_opaque(made.fd)
            return made
        directory = Directory(fd, path, fresh=path in self._fresh)
        if not directory.fresh:
            # From a layer below: what is put into it must not change its own time.
            self._attributes.setdefault(path, describe(fd, path))
        self._held[path] = directory
        return directory

    def make(self, parent: Directory, name: bytes) -> Directory:
        """Make the directory `name`, for its owner alone until `finish`.

        Raises:
            FileExistsError: something has the name.
        """
        os.mkdir(name, 0o700, dir_fd=parent.fd)
        path = parent.join(name)
        directory = Directory(os.open(name, DIRECTORY, dir_fd=parent.fd), path, fresh=True)
        self._held[path] = directory
        self._fresh.add(path)
        self._attributes.setdefault(path, None)
        return directory

    def set_attributes(self, directory: Directory, entry: Entry) -> None:
        """Give `directory` the attributes of `entry` when everything is in place."""
        if directory is self.root:
            self._root_attributes = entry
        else:
            self._attributes[directory.path] = entry

    def forget(self, path: bytes) -> None:
        """`path` was removed: nothing that was known at or below it is true any more."""
        self._aliases.clear()  # any of them may have led through it
        below = path + b"/"
        for known in [p for p in self._held if p == path or p.startswith(below)]:
            os.close(self._held.pop(known).fd)
        for known in [p for p in self._attributes if p == path or p.startswith(below)]:
            del self._attributes[known]
            self._fresh.discard(known)

    def bound(self) -> None:
        """Keep the memory bounded, whatever the number of directories; called when none is in use.

        What is pending is set and forgotten.  Should something come into such a directory later,
        it is described anew, as one from a layer below, and set once more at the end.
        """
        if len(self._attributes) > PENDING_LIMIT:
            self._set_pending()
            self._attributes.clear()
            self._fresh.clear()
            while self._held:
                os.close(self._held.popitem()[1].fd)

    def finish(self) -> None:
        """Set the attributes of every directory: now nothing changes their times any more."""
        self._set_pending()
        apply_attributes(self.root.fd, self._root_attributes)

    def _set_pending(self) -> None:
        for path in sorted(self._attributes, reverse=True):
            entry = self._attributes[path] or self._from_below(path)
            apply_attributes(self.open(path).fd, entry)

    def close(self) -> None:
        """Close what is open."""
        for directory in self._held.values():
            os.close(directory.fd)
        self._held.clear()
        os.close(self.root.fd)

    def _let_go(self, current: Directory) -> None:
        """Close the older half, but not `current`; any other that the caller has must be asked for again."""
        for path in list(self._held)[: HELD_LIMIT // 2]:
            if path != current.path:
                os.close(self._held.pop(path).fd)

    def _from_below(self, path: bytes) -> Entry:
        """The attributes of a directory that the archive did not describe (yet)."""
        for lower in self._lowers:
            try:
                fd = _open_below(lower, path)
            except FileNotFoundError:
                continue
            except OSError:
                break  # a file or a whiteout there hides what is further below
            try:
                return describe(fd, path)
            finally:
                os.close(fd)
        return Entry(path, DIRECTORY_ENTRY, mode=0o755)


def _open_below(lower: int, path: bytes) -> int:
    fd = os.dup(lower)
    for name in path.split(b"/"):
        try:
            below = os.open(name, DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def describe(fd: int, path: bytes) -> Entry:
    """The attributes of an open directory, as an entry would tell them."""
    status = os.fstat(fd)
    entry = Entry(
        path,
        DIRECTORY_ENTRY,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
    )
    entry.atime_ns = status.st_atime_ns
    entry.xattrs = read_xattrs(fd)
    return entry


def apply_attributes(fd: int, entry: Entry) -> None:
    """Make an open directory what its entry says."""
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (entry.uid, entry.gid) and os.geteuid() == 0:
        os.fchown(fd, entry.uid, entry.gid)
    if entry.xattrs:
        write_xattrs(fd, entry.xattrs)
    os.fchmod(
        fd, entry.mode
    )  # after the owner, which clears setgid, and an ACL, which changes the group's bits
    os.utime(fd, ns=entry_times(entry))


def entry_times(entry: Entry) -> tuple[int, int]:
    """Access and modification time; an archive without the former means the latter."""
    atime = entry.atime_ns
    return (entry.mtime_ns if atime is None else atime), entry.mtime_ns


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlayfs's mark of a removed name."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def set_opaque(fd: int) -> None:
    """Let the directory hide what lies below it in an overlay."""
    os.setxattr(fd, "trusted.overlay.opaque", b"y")


def is_opaque(fd: int) -> bool:
    """Whether the directory hides what lies below it in an overlay."""
    try:
        return os.getxattr(descriptor_path(fd), "trusted.overlay.opaque") == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
            return False
        raise
