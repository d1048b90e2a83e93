"""The directories of an extraction: opened once, made where missing, their attributes set last.

Every directory is reached from its parent's descriptor, one name at a time and without
following links.  Where a name is a link of the archive itself, its target is resolved here,
with the root as `/`: no path ever leads outside, whatever the archive holds.
"""

from __future__ import annotations

import errno
import os
import stat

from wherry.files.attributes import write_xattrs
from wherry.files.overlay import is_whiteout, set_opaque
from wherry.files.tar.below import Below, describe
from wherry.files.tar.entry import Entry
from wherry.files.trees import DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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

    A directory that the archive does not describe is made as it is in the layers `below`.  Where
    those are in the same tree, `is_below` tells whether what has a name is theirs: a directory
    then takes its place.  With `restores`, a directory that was here before keeps its times
    although something was put into it.
    """

    def __init__(
        self, root_fd: int, below: Below, is_below: Callable[[bytes], bool], *, restores: bool
    ) -> None:
        self._below = below
        self._is_below = is_below
        self._restores = restores
        self._held: dict[bytes, Directory] = {}
        self._aliases: dict[bytes, bytes] = {}
        # None: as below, looked up only if the archive never describes the directory.
        self._attributes: dict[bytes, Entry | None] = {}
        self._children: dict[bytes, set[bytes]] = {}
        self._fresh: set[bytes] = set()
        self._opaque: set[bytes] = set()
        self.root = Directory(os.open(".", DIRECTORY, dir_fd=root_fd), b"", fresh=False)
        self._root_attributes = describe(self.root.fd, b"") if restores else None

    def open(self, path: bytes, *, make: bool = True) -> Directory:
        """The directory at `path`, made with its parents where it is missing.

        Raises:
            OSError: something that is no directory is in the way, or too many links; with `make`
                false also where it is missing.
        """
        path = self._aliases.get(path, path)
        found = self._held.get(path)
        if found is not None:
            return found
        if not path:
            return self.root
        return self._walk(path, make=make)

    def _walk(self, path: bytes, *, make: bool) -> Directory:
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
            below = self._step(current, name, make=make)
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

    def _step(self, parent: Directory, name: bytes, *, make: bool) -> Directory | bytes:
        """The directory `name`, opened or made; or the target if it is a link."""
        path = parent.join(name)
        held = self._held.get(path)
        if held is not None:
            return held
        try:
            fd = os.open(name, DIRECTORY, dir_fd=parent.fd)
        except FileNotFoundError:
            if not make:
                raise
            return self.make(parent, name)
        except OSError as error:
            if not make or error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            status = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
            if self._is_below(path):
                os.unlink(name, dir_fd=parent.fd)
                return self.make(parent, name)
            if stat.S_ISLNK(status.st_mode):
                return os.readlink(name, dir_fd=parent.fd)
            if not is_whiteout(status):
                raise
            os.unlink(name, dir_fd=parent.fd)
            made = self.make(parent, name)
            self.hide_below(made)
            return made
        directory = Directory(fd, path, fresh=path in self._fresh)
        if self._restores and not directory.fresh and path not in self._attributes:
            self._attributes[path] = describe(fd, path)
        return self._remember(parent, directory)

    def make(self, parent: Directory, name: bytes) -> Directory:
        """Make the directory `name`, for its owner alone until `finish`.

        Raises:
            FileExistsError: something has the name.
        """
        os.mkdir(name, 0o700, dir_fd=parent.fd)
        path = parent.join(name)
        directory = Directory(os.open(name, DIRECTORY, dir_fd=parent.fd), path, fresh=True)
        self._fresh.add(path)
        self._attributes.setdefault(path, None)
        return self._remember(parent, directory)

    def _remember(self, parent: Directory, directory: Directory) -> Directory:
        self._held[directory.path] = directory
        self._children.setdefault(parent.path, set()).add(directory.path)
        return directory

    def set_attributes(self, directory: Directory, entry: Entry) -> None:
        """Give `directory` the attributes of `entry` when everything is in place."""
        if directory is self.root:
            self._root_attributes = entry
        else:
            self._attributes[directory.path] = entry

    def hide_below(self, directory: Directory) -> None:
        """Let an overlay's directory hide what the layers below have there."""
        set_opaque(directory.fd)
        self._opaque.add(directory.path)

    def is_merged(self, directory: Directory) -> bool:
        """Whether an overlay's directory lies upon one of the layers below, and shows what is in it."""
        path = directory.path
        while path:
            if path in self._opaque:
                return False
            path = path.rpartition(b"/")[0]
        return True

    def forget(self, path: bytes) -> None:
        """`path` was removed: nothing that was known at or below it is true any more."""
        self._aliases.clear()  # any of them may have led through it
        gone = [path]
        while gone:
            known = gone.pop()
            gone += self._children.pop(known, ())
            held = self._held.pop(known, None)
            if held is not None:
                os.close(held.fd)
            self._attributes.pop(known, None)
            self._fresh.discard(known)
            self._opaque.discard(known)

    def bound(self) -> None:
        """Keep the memory bounded, whatever the number of directories; called when none is in use.

        What is pending is set and forgotten.  Should something come into such a directory later,
        it is described anew, as one from a layer below, and set once more at the end.
        """
        if len(self._attributes) > PENDING_LIMIT:
            self._set_pending()
            self._attributes.clear()
            self._children.clear()
            self._fresh.clear()
            while self._held:
                os.close(self._held.popitem()[1].fd)

    def finish(self) -> None:
        """Set the attributes of every directory: now nothing changes their times any more."""
        self._set_pending()
        if self._root_attributes is not None:
            apply_attributes(self.root.fd, self._root_attributes)

    def _set_pending(self) -> None:
        for path in sorted(self._attributes, reverse=True):
            entry = self._attributes[path] or self._below.directory(path)
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


def apply_attributes(fd: int, entry: Entry) -> None:
    """Make an open directory what its entry says."""
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (entry.uid, entry.gid) and os.geteuid() == 0:
        os.fchown(fd, entry.uid, entry.gid)
    if entry.xattrs:
        write_xattrs(fd, entry.xattrs)
    # After the owner, which clears setgid, and after an ACL, which changes the group's bits.
    os.fchmod(fd, entry.mode)
    os.utime(fd, ns=entry_times(entry))


def entry_times(entry: Entry) -> tuple[int, int]:
    """Access and modification time; an archive without the former means the latter."""
    atime = entry.atime_ns
    return (entry.mtime_ns if atime is None else atime), entry.mtime_ns
