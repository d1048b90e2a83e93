"""Unpacking images: once, verified, and whole or not at all."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.images import FakeImage, put, put_layer

from wherry.core.content import ContentNotFound
from wherry.core.content.local import LocalContent
from wherry.core.diff import DiffIdMismatch
from wherry.core.leases import Leases, Resource
from wherry.core.metadata import Metadata
from wherry.core.snapshots.native import NativeSnapshots
from wherry.core.unpack import discard_unfinished, unpack_image, unpack_layers
from wherry.diagnostics import faults
from wherry.errors import InvalidArgument, ResourceExhausted, Unsupported, WherryError
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of
from wherry.oci.image_config import chain_ids
from wherry.oci.media_types import OCI_LAYER_GZIP

BASE = {"etc/": "", "etc/hostname": "base", "bin/sh": "shell"}
ABOVE = {"etc/.wh.hostname": "", "etc/motd": "hello"}


class Stores:
    """What unpacking works with, on one directory."""

    def __init__(self, root: Path) -> None:
        self.metadata = Metadata(root / "metadata.db")
        self.content = LocalContent(root / "content", self.metadata)
        self.snapshots = NativeSnapshots(root / "snapshots", self.metadata)
        self.leases = Leases(self.metadata)

    def names(self) -> list[str]:
        return [snapshot.key for snapshot in self.snapshots.walk()]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(tmp_path)
    yield stores
    stores.metadata.close()


@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
def test_layers_become_snapshots_named_by_chain_id(stores: Stores, compression: str) -> None:
    image = FakeImage(stores.content, BASE, ABOVE, compression=compression)

    top = unpack_image(stores.content, stores.snapshots, image.manifest, image.config)

    assert stores.names() == chain_ids(image.config.diff_ids)
    assert top == stores.names()[-1]
    root = stores.snapshots.upper(top)
    assert sorted(os.listdir(root / "etc")) == ["motd"]
    assert (root / "bin/sh").read_text() == "shell"


def test_what_is_unpacked_already_is_taken_and_told(stores: Stores) -> None:
    below = FakeImage(stores.content, BASE)
    image = FakeImage(stores.content, BASE, ABOVE)
    unpack_image(stores.content, stores.snapshots, below.manifest, below.config)
    told: list[tuple[int, str]] = []

    unpack_image(
        stores.content,
        stores.snapshots,
        image.manifest,
        image.config,
        lambda layer, state, _count: told.append((image.layers.index(layer), state)),
    )

    assert told == [(0, "exists"), (1, "complete")]


def test_an_image_without_layers_has_no_chain(stores: Stores) -> None:
    assert unpack_layers(stores.content, stores.snapshots, (), ()) is None


def test_a_layer_that_is_not_what_the_config_names_leaves_nothing(stores: Stores) -> None:
    layer, _ = put_layer(stores.content, BASE)

    with pytest.raises(DiffIdMismatch, match="wrong diff id calculated on extraction"):
        unpack_layers(stores.content, stores.snapshots, (layer,), (digest_of(b"other"),))

    assert stores.names() == []
    assert stores.snapshots.cleanup() == 0


@pytest.mark.parametrize("cut", [1, 10, 100, 200])
def test_a_truncated_layer_leaves_nothing(stores: Stores, cut: int) -> None:
    layer, diff_id = put_layer(stores.content, {**BASE, "noise": os.urandom(500).hex()})
    data = stores.content.read(layer.digest, limit_bytes=1 << 20)
    shorter = put(stores.content, OCI_LAYER_GZIP, data[:-cut])

    with pytest.raises(WherryError):
        unpack_layers(stores.content, stores.snapshots, (shorter,), (diff_id,))

    assert stores.names() == []


def test_a_layer_of_another_compression_than_its_type_is_refused(stores: Stores) -> None:
    layer, diff_id = put_layer(stores.content, BASE, "")
    wrong = Descriptor(OCI_LAYER_GZIP, layer.digest, layer.size)

    with pytest.raises(InvalidArgument, match="expected gzip"):
        unpack_layers(stores.content, stores.snapshots, (wrong,), (diff_id,))


def test_a_layer_that_is_no_file_system_is_refused(stores: Stores) -> None:
    layer = put(stores.content, "application/vnd.example.config", b"{}")

    with pytest.raises(Unsupported, match="cannot be unpacked"):
        unpack_layers(stores.content, stores.snapshots, (layer,), (digest_of(b"{}"),))


def test_numbers_of_layers_that_differ_are_refused(stores: Stores) -> None:
    layer, diff_id = put_layer(stores.content, BASE)

    with pytest.raises(InvalidArgument):
        unpack_layers(stores.content, stores.snapshots, (layer,), (diff_id, diff_id))


def test_a_missing_layer_is_not_found(stores: Stores) -> None:
    layer = Descriptor(OCI_LAYER_GZIP, digest_of(b"gone"), 4)

    with pytest.raises(ContentNotFound):
        unpack_layers(stores.content, stores.snapshots, (layer,), (digest_of(b"x"),))

    assert stores.names() == []


def test_a_full_disk_leaves_nothing_and_the_next_try_succeeds(stores: Stores) -> None:
    image = FakeImage(stores.content, BASE)
    faults.arm("unpack.applied=ENOSPC")
    try:
        with pytest.raises(ResourceExhausted, match="no space left on device"):
            unpack_image(stores.content, stores.snapshots, image.manifest, image.config)
    finally:
        faults.arm("")
    assert stores.names() == []

    unpack_image(stores.content, stores.snapshots, image.manifest, image.config)

    assert len(stores.names()) == 1


def test_the_lease_holds_what_is_unpacked(stores: Stores) -> None:
    image = FakeImage(stores.content, BASE)

    with stores.leases.hold("moby") as lease:
        top = unpack_image(stores.content, stores.snapshots, image.manifest, image.config, lease=lease)

        assert Resource("snapshot", str(top)) in stores.leases.resources()


def test_of_many_that_unpack_one_image_one_works(stores: Stores) -> None:
    image = FakeImage(stores.content, BASE, ABOVE)
    told: list[str] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            unpack_image(
                stores.content,
                stores.snapshots,
                image.manifest,
                image.config,
                lambda _layer, state, _count: told.append(state),
            )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert told.count("complete") == 2
    assert told.count("exists") == 10


@pytest.mark.parametrize(
    "point",
    [
        "snapshot.directory-made",
        "unpack.prepared",
        "unpack.applied",
        "snapshot.synced",
        "snapshot.committed",
        "unpack.committed",
    ],
)
def test_a_kill_at_any_step_is_made_good_by_the_next_try(tmp_path: Path, point: str) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.fakes.images import FakeImage\n"
        "from tests.unit.core.test_unpack import BASE, ABOVE, Stores\n"
        "from wherry.core.unpack import unpack_image\n"
        "stores = Stores(Path(sys.argv[1])); image = FakeImage(stores.content, BASE, ABOVE)\n"
        "unpack_image(stores.content, stores.snapshots, image.manifest, image.config)\n"
    )
    environment = {"PYTHONPATH": "src:.", "WHERRY_FAULT": point}

    ran = subprocess.run([sys.executable, "-c", code, tmp_path], env=environment)

    assert ran.returncode == -9
    stores = Stores(tmp_path)
    image = FakeImage(stores.content, BASE, ABOVE)
    top = unpack_image(stores.content, stores.snapshots, image.manifest, image.config)
    stores.snapshots.cleanup()
    assert stores.names() == chain_ids(image.config.diff_ids)
    assert (stores.snapshots.upper(str(top)) / "etc/motd").read_text() == "hello"
    assert len([name for name in os.listdir(tmp_path / "snapshots") if name.isdecimal()]) == 2
    stores.metadata.close()


def test_what_killed_processes_left_half_unpacked_is_removed_and_no_more(stores: Stores) -> None:
    image = FakeImage(stores.content, BASE)
    top = unpack_image(stores.content, stores.snapshots, image.manifest, image.config)
    assert top is not None
    stores.snapshots.prepare("container", top)
    stores.snapshots.prepare(f"unpack {'sha256:' + 'a' * 64}", top)

    count = discard_unfinished(stores.snapshots)

    assert count == 1
    assert sorted(stores.names()) == sorted([top, "container"])
