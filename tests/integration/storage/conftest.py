"""Stores on a real disk, and overlay mounts that go again whatever happens."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from wherry.core.content.local import LocalContent
from wherry.core.metadata import Metadata
from wherry.core.mounts import Mount
from wherry.core.snapshots import Snapshotter
from wherry.core.snapshots.native import NativeSnapshots
from wherry.core.snapshots.overlayfs import OverlaySnapshots
from wherry.linux import mount as linux_mount


class Disk:
    """The stores of one data root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.metadata = Metadata(root / "metadata.db")
        self.content = LocalContent(root / "content", self.metadata)
        self.drivers: dict[str, Snapshotter] = {
            "overlayfs": OverlaySnapshots(root / "snapshots" / "overlayfs", self.metadata),
            "native": NativeSnapshots(root / "snapshots" / "native", self.metadata),
        }
        self._mounted = ExitStack()

    @contextmanager
    def mounted(self, mounts: Sequence[Mount]) -> Iterator[Path]:
        """The root file system that the mounts make."""
        (mount,) = mounts
        place = self.root / "mnt"
        place.mkdir(exist_ok=True)
        if mount.type == "bind":
            flags = linux_mount.MS_BIND | linux_mount.MS_REC
            linux_mount.mount(mount.source, str(place), "", flags)
        else:
            linux_mount.mount(mount.source, str(place), mount.type, 0, ",".join(mount.options))
        try:
            yield place
        finally:
            linux_mount.umount(str(place), linux_mount.MNT_DETACH)

    def close(self) -> None:
        self.metadata.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.fail("needs root: overlay mounts, devices and owners")
    disk = Disk(tmp_path)
    yield disk
    disk.close()


def tree(root: Path) -> list[tuple[object, ...]]:
    """Everything that can be seen of a tree: hard links as groups, directories without their sizes."""
    facts: list[tuple[object, ...]] = []
    groups: dict[int, str] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        name = str(path.relative_to(root))
        is_directory = stat.S_ISDIR(status.st_mode)
        facts.append(
            (
                name,
                (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns),
                0 if is_directory else status.st_size,
                os.readlink(path) if stat.S_ISLNK(status.st_mode) else "",
                "" if is_directory else groups.setdefault(status.st_ino, name),
                xattrs(path),
                hash(path.read_bytes()) if stat.S_ISREG(status.st_mode) else 0,
            )
        )
    return facts


def xattrs(path: Path) -> dict[str, bytes]:
    """The extended attributes of a file, without those that overlayfs keeps for itself."""
    names = [n for n in os.listxattr(path, follow_symlinks=False) if not n.startswith("trusted.overlay.")]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
