"""Snapshots with what only root can make, and kills in the middle of a removal."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.snapshots import commit_layer
from tests.integration.storage.conftest import Disk, tree

CAPABILITY = b"\x01\0\0\x02" + b"\0\x20\0\0" + bytes(12)


def test_a_whole_copy_keeps_owners_devices_and_capabilities(disk: Disk) -> None:
    store = disk.drivers["native"]
    store.prepare("making")
    root = store.upper("making")
    (root / "ping").write_bytes(b"x" * 10_000)
    os.chown(root / "ping", 1000, 1001)
    (root / "ping").chmod(0o6755)
    os.setxattr(root / "ping", "security.capability", CAPABILITY)
    os.setxattr(root / "ping", "trusted.note", b"kept")
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "disk", 0o640 | stat.S_IFBLK, os.makedev(8, 1))
    (root / "d").mkdir(mode=0o700)
    os.chown(root / "d", 5, 6)
    (root / "d/link").symlink_to("nowhere")
    os.chown(root / "d/link", 7, 8, follow_symlinks=False)
    store.commit("base", "making")

    store.prepare("copy", "base")

    assert tree(store.upper("copy")) == tree(store.upper("base"))
    assert os.getxattr(store.upper("copy") / "ping", "security.capability") == CAPABILITY


def test_a_mount_inside_stops_a_removal_instead_of_being_emptied(disk: Disk) -> None:
    store = disk.drivers["overlayfs"]
    commit_layer(store, "base", None, "file")
    store.prepare("container", "base")
    inside = store.upper("container") / "mnt"
    inside.mkdir()
    outside = disk.root / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    subprocess.run(["mount", "--bind", outside, inside], check=True)
    try:
        before = store.usage("container")
        assert before.inodes == 2  # the mount point is counted, and not what is mounted there

        with pytest.raises(OSError):
            store.remove("container")

        assert os.listdir(outside) == ["precious"]
    finally:
        subprocess.run(["umount", inside], check=True)

    assert store.remove("container")
    assert store.cleanup() == 0


def killed_removal(path: Path, prepare: str, key: str, point: str) -> None:
    """A process that ends at `point` of a removal."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.contract.snapshots import commit_layer\n"
        "from tests.integration.storage.conftest import Disk\n"
        "store = Disk(Path(sys.argv[1])).drivers['overlayfs']\n"
        f"{prepare}\n"
        f"store.remove({key!r})\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code, path], env={"PYTHONPATH": "src:.", "WHERRY_FAULT": point}
    )

    assert ran.returncode == -9


def test_a_removal_of_an_active_snapshot_that_was_killed_can_be_done_again(tmp_path: Path) -> None:
    killed_removal(tmp_path, "store.prepare('active')", "active", "snapshot.files-removed")

    disk = Disk(tmp_path)
    store = disk.drivers["overlayfs"]
    assert (store.stat("active").kind, store.usage("active").bytes) == ("active", 0)
    assert store.remove("active")
    assert list(store.walk()) == []
    disk.close()


def test_a_kill_in_the_middle_of_a_removal_is_cleaned_up(tmp_path: Path) -> None:
    killed_removal(tmp_path, "commit_layer(store, 'base', None, 'file')", "base", "snapshot.record-removed")

    disk = Disk(tmp_path)
    store = disk.drivers["overlayfs"]
    assert list(store.walk()) == []
    assert store.cleanup() == 1
    assert os.listdir(tmp_path / "snapshots" / "overlayfs") == []
    disk.close()
