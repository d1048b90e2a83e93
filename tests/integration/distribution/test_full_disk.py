"""A disk that fills up: a clear error, no name, and room again once the cause is gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.registry import FakeRegistry
from tests.integration.distribution.conftest import Stores, pieces_of, run, tar_of
from tests.integration.distribution.test_archives import config_of, old_archive

from wherry.core.transfer import import_image, load, pull
from wherry.errors import ResourceExhausted
from wherry.linux import mount
from wherry.oci.reference import parse_normalized

LAYER = tar_of({"random": os.urandom(12 << 20)})
LARGE = tar_of({"random": os.urandom(20 << 20)})


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stores]:
    root = tmp_path / "small"
    root.mkdir()
    mount.mount("tmpfs", str(root), "tmpfs", 0, "size=16m")
    try:
        stores = Stores(root)
        yield stores
        stores.close()
    finally:
        mount.umount(str(root))


def pull_it(stores: Stores, fake: FakeRegistry, layer: bytes) -> None:
    fake.add_image("team/app", "1", [layer])
    run(pull(stores.services, parse_normalized(f"{fake.host}/team/app:1")))


def load_it(stores: Stores, _fake: FakeRegistry, layer: bytes) -> None:
    archive = old_archive(config_of(layer), {"x/layer.tar": layer}, ["app:1"])
    run(load(stores.services, pieces_of(tar_of(archive))))


def import_it(stores: Stores, _fake: FakeRegistry, layer: bytes) -> None:
    run(import_image(stores.services, pieces_of(layer), reference=parse_normalized("app:1")))


Transfer = Callable[[Stores, FakeRegistry, bytes], None]


@pytest.mark.parametrize("transfer", [pull_it, load_it, import_it])
def test_a_disk_too_small_for_the_blob_is_empty_again_afterwards(
    small: Stores, fake: FakeRegistry, transfer: Transfer
) -> None:
    with pytest.raises(ResourceExhausted):
        transfer(small, fake, LARGE)

    assert not small.services.images.list("moby")
    assert not small.services.leases.list()
    assert os.statvfs(small.root).f_bavail * 4096 > 12 << 20
    transfer(small, fake, tar_of({"a": b"1"}))


@pytest.mark.parametrize("transfer", [pull_it, load_it, import_it])
def test_a_disk_too_small_to_unpack_names_nothing(
    small: Stores, fake: FakeRegistry, transfer: Transfer
) -> None:
    with pytest.raises(ResourceExhausted):
        transfer(small, fake, LAYER)

    assert not small.services.images.list("moby")
    # The database is on the same disk: there was no room to write either down until the files were gone.
    assert not list(small.snapshots.walk())
    assert not small.services.leases.list()
