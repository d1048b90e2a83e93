"""Snapshots as overlay directories: each holds only what differs from its parent.

A removal is a character device 0:0, a directory that hides what lies below carries the
extended attribute trusted.overlay.opaque.

Spec: Linux Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from wherry.core.mounts import Mount, bind, overlay
from wherry.core.snapshots import Kind, Whiteouts
from wherry.core.snapshots.records import RecordedSnapshots
from wherry.files.attributes import copy_attributes
from wherry.files.trees import DIRECTORY

# With any of the three, an upper directory would hold more than files and removals (renames by
# reference, files without their data), and could not be read as a layer.
OPTIONS = ("index=off", "redirect_dir=off", "metacopy=off")


class OverlaySnapshots(RecordedSnapshots):
    """The driver for kernels and file systems with overlayfs."""

    name = "overlayfs"
    whiteouts: Whiteouts = "overlay"

    def _fill(self, directory: Path, parent: Path | None) -> None:
        files = directory / "fs"
        files.mkdir(mode=0o755)
        (directory / "work").mkdir(mode=0o711)
        if parent is None:
            files.chmod(0o755)  # the umask does not decide
            return
        # The root of the mount is the upper root, so it takes over what the parent's root is.
        source = os.open(parent / "fs", DIRECTORY)
        target = os.open(files, DIRECTORY)
        try:
            copy_attributes(source, target)
        finally:
            os.close(source)
            os.close(target)

    def _mounts(self, kind: Kind, directory: Path, parents: list[Path]) -> list[Mount]:
        lower = [str(parent / "fs") for parent in parents]
        files = str(directory / "fs")
        if kind == "view":
            if len(lower) > 1:
                return [overlay(lower, options=OPTIONS)]
            return [bind(lower[0] if lower else files, read_only=True)]
        if not lower:
            return [bind(files, read_only=False)]
        return [overlay(lower, upper=files, work=str(directory / "work"), options=OPTIONS)]

    def _make_volatile(self, mounts: list[Mount], directory: Path) -> list[Mount]:
        # The kernel leaves a mark, and refuses the directory after that: it might have lost something in a
        # crash.  Who mounts it again as volatile does not mind.
        shutil.rmtree(directory / "work/work/incompat/volatile", ignore_errors=True)
        return [
            msgspec.structs.replace(each, options=("volatile", *each.options))
            if any(option.startswith("upperdir=") for option in each.options)
            else each
            for each in mounts
        ]
