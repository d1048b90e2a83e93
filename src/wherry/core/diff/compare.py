"""What a snapshot changed of its parent.

In an overlay the upper directory holds just that.  Whole copies are compared, name by name:
the same kind, owner, mode, size, times and attributes mean the same file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import msgspec

from wherry.core.snapshots import Snapshotter
from wherry.files.attributes import descriptor_path, read_xattrs
from wherry.files.overlay import is_shown, is_whiteout
from wherry.files.tar import Entry, TarWriter, write_tree
from wherry.files.tar.extract import WHITEOUT
from wherry.files.trees import DIRECTORY, Visit, walk

if TYPE_CHECKING:
    from wherry.files.tar.writer import Writable

Kind = Literal["added", "modified", "deleted"]


class Change(msgspec.Struct, frozen=True):
    """One path that differs from the parent, from the root with a slash, as Docker tells it."""

    kind: Kind
    path: str


def changes(snapshots: Snapshotter, key: str) -> Iterator[Change]:
    """What the snapshot `key` changed of its parent, a directory before what it holds."""
    with ExitStack() as stack:
        upper = _open(stack, str(snapshots.upper(key)))
        if snapshots.whiteouts == "overlay":
            lowers = [_open(stack, str(path)) for path in snapshots.lowers(key)]
            yield from _overlay_changes(upper, lowers)
        else:
            yield from _tree_changes(_parent_tree(stack, snapshots, key), upper)


def write_diff(snapshots: Snapshotter, key: str, stream: Writable) -> None:
    """Write what the snapshot `key` changed of its parent as a layer, an uncompressed tar.

    The snapshot must not be written to meanwhile.
    """
    writer = TarWriter(stream)
    with ExitStack() as stack:
        upper = _open(stack, str(snapshots.upper(key)))
        if snapshots.whiteouts == "overlay":
            write_tree(upper, writer, overlay=True)
        else:
            _write_tree_changes(_parent_tree(stack, snapshots, key), upper, writer)
    writer.close()


def _open(stack: ExitStack, path: str) -> int:
    fd = os.open(path, DIRECTORY)
    stack.callback(os.close, fd)
    return fd


def _parent_tree(stack: ExitStack, snapshots: Snapshotter, key: str) -> int | None:
    parent = snapshots.stat(key).parent
    return None if parent is None else _open(stack, str(snapshots.upper(parent)))


def _overlay_changes(upper: int, lowers: list[int]) -> Iterator[Change]:
    for visit in walk(upper, ordered=True):
        path = "/" + os.fsdecode(visit.path)
        if is_whiteout(visit.stat):
            yield Change("deleted", path)
        elif is_shown(lowers, visit.path):
            yield Change("modified", path)
        else:
            yield Change("added", path)


def _tree_changes(lower: int | None, upper: int) -> Iterator[Change]:
    before = _index(lower) if lower is not None else {}
    after = _index(upper)
    found: dict[bytes, Kind] = {}
    for path in sorted(before.keys() | after.keys()):
        holder = path.rpartition(b"/")[0]
        if path not in after:
            if holder and holder not in after:
                continue  # it went with its directory
            found[path] = "deleted"
        elif path not in before:
            found[path] = "added"
        elif before[path] != after[path]:
            found[path] = "modified"
        else:
            continue
        # As in an overlay: what is changed in a directory changes the directory.
        while holder and holder not in found:
            found[holder] = "modified"
            holder = holder.rpartition(b"/")[0]
    for path in sorted(found):
        yield Change(found[path], "/" + os.fsdecode(path))


def _write_tree_changes(lower: int | None, upper: int, writer: TarWriter) -> None:
    found = {change.path: change.kind for change in _tree_changes(lower, upper)}
    kept: set[bytes] = set()
    for text, kind in found.items():
        path = os.fsencode(text[1:])
        if kind == "deleted":
            holder, slash, name = path.rpartition(b"/")
            writer.add(Entry(holder + slash + WHITEOUT + name, mode=0))
        else:
            kept.add(path)
    write_tree(upper, writer, wanted=lambda visit: visit.path in kept)


Facts = tuple[object, ...]


def _index(root: int) -> dict[bytes, Facts]:
    return {visit.path: _facts(visit) for visit in walk(root)}


def _facts(visit: Visit) -> Facts:
    status = visit.stat
    facts: Facts = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev)
    if not stat.S_ISDIR(status.st_mode):
        # Names in a directory are compared one by one, and its time follows from them.
        facts += (status.st_size, status.st_mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        facts += (os.readlink(visit.name, dir_fd=visit.dir_fd),)
    xattrs = read_xattrs(descriptor_path(visit.dir_fd, visit.name))
    return (*facts, tuple(sorted(xattrs.items())))
