"""The layers below an overlay's directory, as an extraction asks for them."""

from __future__ import annotations

import os
import stat

from wherry.files.attributes import read_xattrs
from wherry.files.overlay import close_all, is_shown, open_merged
from wherry.files.tar.entry import DIRECTORY, Entry

LOOKUP_LIMIT = 1_000_000
"""Directories opened for one layer's questions: some seconds.  No honest layer comes near it."""


class Below:
    """The directories of the layers below, the nearest first.

    Deep paths upon many layers make a question dear, and an archive can ask without end; so
    beyond the limit the answer is the harmless one, as if nobody had looked.
    """

    def __init__(self, layers: tuple[int, ...]) -> None:
        self._layers = layers
        self._lookups = 0

    def shows(self, path: bytes) -> bool:
        """Whether there is something at `path` that would have to be removed."""
        return is_shown(self._layers, path) if self._affords(path) else True

    def directory(self, path: bytes) -> Entry:
        """A directory as it is below, or a plain one."""
        members = open_merged(self._layers, path) if self._affords(path) else []
        try:
            return describe(members[0], path) if members else Entry(path, DIRECTORY, mode=0o755)
        finally:
            close_all(members)

    def names(self) -> set[bytes]:
        """Every name in the root of a layer."""
        return {os.fsencode(name) for layer in self._layers for name in os.listdir(layer)}

    def _affords(self, path: bytes) -> bool:
        self._lookups += len(self._layers) * (path.count(b"/") + 1)
        return self._lookups < LOOKUP_LIMIT


def describe(fd: int, path: bytes) -> Entry:
    """The attributes of an open directory, as an entry would tell them."""
    status = os.fstat(fd)
    entry = Entry(
        path,
        DIRECTORY,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
    )
    entry.atime_ns = status.st_atime_ns
    entry.xattrs = read_xattrs(fd)
    return entry
