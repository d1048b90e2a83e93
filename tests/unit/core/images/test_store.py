"""Image names."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from wherry.core.images import Image, ImageExists, ImageNotFound, ImageStore
from wherry.core.metadata import Metadata
from wherry.errors import InvalidArgument
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of
from wherry.oci.media_types import OCI_MANIFEST

NAME = "docker.io/library/busybox:latest"


def target(text: str) -> Descriptor:
    return Descriptor(OCI_MANIFEST, digest_of(text.encode()), len(text), annotations={"a": text})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    metadata = Metadata(tmp_path / "metadata.db")
    yield ImageStore(metadata)
    metadata.close()


def test_an_image_comes_back_as_it_was_created(store: ImageStore) -> None:
    created = store.create("moby", Image(name=NAME, target=target("one"), labels={"k": "v"}))

    found = store.get("moby", NAME)

    assert found == created
    assert found.target.annotations == {"a": "one"}
    assert found.created_at_ns == found.updated_at_ns > 0


def test_a_name_is_taken_once_in_each_tenant(store: ImageStore) -> None:
    image = Image(name=NAME, target=target("one"))
    store.create("moby", image)

    with pytest.raises(ImageExists, match=NAME):
        store.create("moby", image)

    store.create("k8s.io", image)
    assert store.tenants() == ["k8s.io", "moby"]


def test_an_update_moves_the_name_and_keeps_its_birth(store: ImageStore) -> None:
    created = store.create("moby", Image(name=NAME, target=target("one")))

    updated = store.update("moby", msgspec.structs.replace(created, target=target("two")))

    assert store.get("moby", NAME).target.digest == target("two").digest
    assert updated.created_at_ns == created.created_at_ns


def test_putting_creates_or_updates(store: ImageStore) -> None:
    store.put("moby", Image(name=NAME, target=target("one")))
    store.put("moby", Image(name=NAME, target=target("two")))

    assert [image.target.digest for image in store.list("moby")] == [target("two").digest]


def test_images_are_listed_by_tenant_and_by_what_they_point_to(store: ImageStore) -> None:
    for tenant, name, text in (("a", "x", "one"), ("a", "y", "two"), ("b", "x", "one")):
        store.create(tenant, Image(name=name, target=target(text)))

    assert [image.name for image in store.list("a")] == ["x", "y"]
    assert [image.name for image in store.list("a", digest=target("two").digest)] == ["y"]
    assert len(store.list()) == 3


def test_what_is_not_here_is_not_found(store: ImageStore) -> None:
    for ask in (store.get, store.delete):
        with pytest.raises(ImageNotFound, match=f"image {NAME} not found"):
            ask("moby", NAME)
    with pytest.raises(ImageNotFound):
        store.update("moby", Image(name=NAME, target=target("one")))


def test_a_deleted_image_tells_what_it_was(store: ImageStore) -> None:
    created = store.create("moby", Image(name=NAME, target=target("one")))

    assert store.delete("moby", NAME) == created
    assert store.list() == []


def test_an_image_without_a_name_is_refused(store: ImageStore) -> None:
    with pytest.raises(InvalidArgument):
        store.create("moby", Image(name="", target=target("one")))
