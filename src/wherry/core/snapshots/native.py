"""Snapshots as whole copies: for file systems on which overlayfs cannot stand.

Slow and large, but with no demands; where the file system can share extents (btrfs, XFS), the
copies share them.
"""

from __future__ import annotations

import os
from pathlib import Path

from wherry.core.mounts import Mount, bind
from wherry.core.snapshots import Kind, Whiteouts
from wherry.core.snapshots.records import RecordedSnapshots
from wherry.files.copying import copy_tree
from wherry.files.trees import DIRECTORY


class NativeSnapshots(RecordedSnapshots):
    """The driver that copies."""

    name = "native"
    whiteouts: Whiteouts = "native"

    def _fill(self, directory: Path, parent: Path | None) -> None:
        files = directory / "fs"
        files.mkdir(mode=0o755)
        if parent is None:
            files.chmod(0o755)  # the umask does not decide
            return
        source = os.open(parent / "fs", DIRECTORY)
        target = os.open(files, DIRECTORY)
        try:
            copy_tree(source, target)
        finally:
            os.close(source)
            os.close(target)

    def _mounts(self, kind: Kind, directory: Path, parents: list[Path]) -> list[Mount]:
        shown = parents[0] if kind == "view" and parents else directory
        return [bind(str(shown / "fs"), read_only=kind == "view")]
