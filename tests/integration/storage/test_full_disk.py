"""A disk that is full: a clear error, nothing half done, and all well once there is space."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.images import FakeImage
from tests.integration.storage.conftest import Disk

from wherry.core.content.local import LocalContent
from wherry.core.snapshots.native import NativeSnapshots
from wherry.core.unpack import unpack_image
from wherry.errors import ResourceExhausted
from wherry.linux.mount import MNT_DETACH, MS_NODEV, MS_NOSUID, mount, umount

MEBIBYTE = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of four mebibytes."""
    place = tmp_path / "small"
    place.mkdir()
    mount("tmpfs", str(place), "tmpfs", MS_NOSUID | MS_NODEV, "size=4m")
    yield place
    umount(str(place), MNT_DETACH)


def test_a_blob_that_does_not_fit_goes_on_once_there_is_space(disk: Disk, small: Path) -> None:
    content = LocalContent(small, disk.metadata)
    ballast = small / "ballast"
    ballast.write_bytes(bytes(2 * MEBIBYTE))
    pieces = [os.urandom(MEBIBYTE) for _ in range(3)]

    def ingest() -> None:
        with content.ingest("large") as blob:
            for piece in pieces:
                blob.write(piece)

    with pytest.raises(ResourceExhausted, match="no space left on device"):
        ingest()

    assert list(content.list()) == []
    ballast.unlink()
    with content.ingest("large") as blob:
        whole = b"".join(pieces)
        assert 0 < blob.offset < len(whole)
        blob.write(whole[blob.offset :])
        digest = blob.descriptor.digest
    assert content.read(digest, limit_bytes=4 * MEBIBYTE) == whole


def test_a_layer_that_does_not_fit_leaves_nothing(disk: Disk, small: Path) -> None:
    image = FakeImage(disk.content, {"large": "x" * (6 * MEBIBYTE)})
    snapshots = NativeSnapshots(small / "snapshots", disk.metadata)

    with pytest.raises(ResourceExhausted, match="no space left on device"):
        unpack_image(disk.content, snapshots, image.manifest, image.config)

    assert list(snapshots.walk()) == []
    assert os.listdir(small / "snapshots") == []


def test_a_copy_that_does_not_fit_leaves_nothing(disk: Disk, small: Path) -> None:
    image = FakeImage(disk.content, {"large": "x" * (3 * MEBIBYTE)})
    snapshots = NativeSnapshots(small / "snapshots", disk.metadata)
    top = unpack_image(disk.content, snapshots, image.manifest, image.config)

    with pytest.raises(ResourceExhausted, match="cannot make snapshot container: no space left on device"):
        snapshots.prepare("container", top)

    assert not snapshots.exists("container")
    assert os.listdir(small / "snapshots") == ["1"]
