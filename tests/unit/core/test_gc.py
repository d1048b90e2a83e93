"""Garbage collection: what is referred to stays, the rest goes, and races lose nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.images import FakeImage, put

from wherry.core import gc
from wherry.core.content.local import LocalContent
from wherry.core.gc import Collector
from wherry.core.images import Image, ImageStore
from wherry.core.leases import Leases, Resource
from wherry.core.metadata import Metadata
from wherry.core.snapshots.native import NativeSnapshots
from wherry.core.unpack import unpack_image
from wherry.files import json
from wherry.oci.media_types import OCI_INDEX, OCI_MANIFEST


class Stores:
    """Everything that is collected, and the collector."""

    def __init__(self, root: Path) -> None:
        self.metadata = Metadata(root / "metadata.db")
        self.content = LocalContent(root / "content", self.metadata)
        self.snapshots = NativeSnapshots(root / "snapshots", self.metadata)
        self.images = ImageStore(self.metadata)
        self.leases = Leases(self.metadata)
        self.collector = Collector(self.content, [self.snapshots], self.images, self.leases, grace_s=0)

    def image(self, text: str, *, name: str | None = None) -> FakeImage:
        image = FakeImage(self.content, {"base": "same"}, {"file": text})
        unpack_image(self.content, self.snapshots, image.manifest, image.config)
        if name:
            self.images.put("moby", Image(name=name, target=image.target))
        return image

    def counts(self) -> tuple[int, int]:
        return len(list(self.content.list())), len(list(self.snapshots.walk()))


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(tmp_path)
    yield stores
    stores.metadata.close()


def test_an_image_keeps_its_content_and_its_chain(stores: Stores) -> None:
    stores.image("one", name="one")

    collected = stores.collector.collect()

    assert (collected.content, collected.snapshots) == ([], [])
    assert stores.counts() == (4, 2)


def test_what_no_image_refers_to_goes_and_what_is_shared_stays(stores: Stores) -> None:
    stores.image("one", name="one")
    stores.image("two")

    collected = stores.collector.collect()

    assert len(collected.content) == 3
    assert len(collected.snapshots) == 1
    assert collected.content_bytes > 0
    assert collected.snapshot_bytes > 0
    assert stores.counts() == (4, 2)


def test_after_the_last_name_everything_goes(stores: Stores) -> None:
    stores.image("one", name="one")
    stores.images.delete("moby", "one")

    stores.collector.collect()

    assert stores.counts() == (0, 0)


def test_young_things_stay(stores: Stores) -> None:
    stores.image("one")
    patient = Collector(stores.content, [stores.snapshots], stores.images, stores.leases, grace_s=3600)

    patient.collect()
    assert stores.counts() == (4, 2)

    patient.collect(grace_s=0)
    assert stores.counts() == (0, 0)


def test_an_active_snapshot_keeps_the_collectors_grace_time(stores: Stores) -> None:
    image = stores.image("one", name="one")
    top = list(stores.snapshots.walk())[-1].key
    stores.snapshots.prepare("container", top)
    patient = Collector(stores.content, [stores.snapshots], stores.images, stores.leases, grace_s=3600)

    patient.collect(grace_s=0)

    assert stores.snapshots.exists("container")
    assert image.target is not None


def test_the_snapshot_of_a_container_keeps_its_parents_without_an_image(stores: Stores) -> None:
    stores.image("one")
    stores.snapshots.prepare("container", list(stores.snapshots.walk())[-1].key)
    stores.collector.add_roots(lambda: [Resource("snapshot", "container")])

    stores.collector.collect()

    assert stores.counts() == (0, 3)


def test_a_root_manifest_keeps_all_that_it_refers_to(stores: Stores) -> None:
    image = stores.image("one")
    stores.collector.add_roots(lambda: [Resource("content", image.target.digest)])

    stores.collector.collect()

    assert stores.counts() == (4, 2)


def test_a_lease_keeps_what_was_added_and_no_longer_than_it_lasts(stores: Stores) -> None:
    image = stores.image("one")
    with stores.leases.hold("moby") as lease:
        lease.add_content(image.target.digest)

        stores.collector.collect()
        assert stores.counts() == (4, 2)

    stores.collector.collect()
    assert stores.counts() == (0, 0)


def test_a_lease_taken_between_marking_and_sweeping_counts(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = stores.image("one")
    original = stores.collector.mark

    def mark() -> set[Resource]:
        marked = original()
        stores.leases.create("moby", "late")
        stores.leases.hold_existing("moby", "late").add_content(image.layers[0].digest)
        return marked

    monkeypatch.setattr(stores.collector, "mark", mark)
    stores.collector.collect()

    assert [info.digest for info in stores.content.list()] == [image.layers[0].digest]


def test_a_name_that_appears_between_marking_and_sweeping_counts(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = stores.image("one")
    original = stores.collector.mark

    def mark() -> set[Resource]:
        marked = original()
        stores.images.create("moby", Image(name="late", target=image.target))
        return marked

    monkeypatch.setattr(stores.collector, "mark", mark)
    stores.collector.collect()

    assert stores.counts() == (4, 2)


def test_an_index_keeps_the_platforms_that_are_here(stores: Stores) -> None:
    image = stores.image("one")
    absent = {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 7}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [absent, image.target.to_dict()],
    }
    index = put(stores.content, OCI_INDEX, json.dumps(document).encode())
    stores.images.create("moby", Image(name="multi", target=index))

    stores.collector.collect()

    assert stores.counts() == (5, 2)


def test_a_damaged_manifest_is_kept_and_stops_nothing(
    stores: Stores, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = put(stores.content, OCI_MANIFEST, b"{")
    stores.images.create("moby", Image(name="broken", target=broken))
    stores.image("one")

    stores.collector.collect()

    assert [info.digest for info in stores.content.list()] == [broken.digest]
    assert "cannot follow content" in capfd.readouterr().err


def test_an_interrupted_ingest_goes_unless_it_is_leased(stores: Stores) -> None:
    for key in ("leased", "lost"):
        with pytest.raises(KeyError), stores.content.ingest(key) as blob:
            raise KeyError(blob.write(b"half"))
    stores.leases.create("moby", "pull")
    stores.leases.hold_existing("moby", "pull").add(Resource("ingest", "leased"))

    assert stores.collector.collect().remains == 1

    with stores.content.ingest("leased") as blob:
        assert blob.offset == 4
    with stores.content.ingest("lost") as blob:
        assert blob.offset == 0


def test_the_usual_grace_time_is_an_hour() -> None:
    assert gc.GRACE_S == 3600
