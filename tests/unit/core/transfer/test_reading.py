"""Finding manifests and configs in a store that may lack some of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry.core.content import ContentNotFound
from wherry.core.content.local import LocalContent
from wherry.core.metadata import Metadata
from wherry.core.transfer.reading import (
    NODE_LIMIT,
    PlatformNotFound,
    documents,
    find_manifest,
    present_manifests,
    read_image,
)
from wherry.errors import InvalidArgument, Unsupported
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of
from wherry.oci.platform import Platform

AMD64, ARM64, S390X = (Platform("linux", name) for name in ("amd64", "arm64", "s390x"))


@pytest.fixture
def content(tmp_path: Path) -> Iterator[LocalContent]:
    metadata = Metadata(tmp_path / "metadata.db")
    yield LocalContent(tmp_path / "content", metadata)
    metadata.close()


def put(content: LocalContent, document: Any, media_type: str) -> Descriptor:
    data = json.dumps(document).encode()
    descriptor = Descriptor(media_type, digest_of(data), len(data))
    with content.ingest(str(descriptor.digest), descriptor) as ingest:
        ingest.write(data)
    return descriptor


def image(content: LocalContent, platform: Platform) -> Descriptor:
    config = put(content, {**platform.to_dict(), "rootfs": {"diff_ids": []}}, media_types.OCI_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": config.to_dict(),
        "layers": [],
    }
    return put(content, document, media_types.OCI_MANIFEST)


def index(content: LocalContent, *entries: dict[str, Any]) -> Descriptor:
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": list(entries)}
    return put(content, document, media_types.OCI_INDEX)


def entry(descriptor: Descriptor, platform: Platform | None = None) -> dict[str, Any]:
    return descriptor.to_dict() | ({"platform": platform.to_dict()} if platform else {})


def missing(platform: Platform) -> dict[str, Any]:
    """An entry whose manifest was never fetched."""
    return entry(Descriptor(media_types.OCI_MANIFEST, digest_of(str(platform).encode()), 7), platform)


def test_the_manifest_of_the_platform_is_found(content: LocalContent) -> None:
    amd64, arm64 = image(content, AMD64), image(content, ARM64)
    target = index(content, entry(arm64, ARM64), entry(amd64, AMD64))

    assert find_manifest(content, target, AMD64).descriptor.digest == amd64.digest
    assert find_manifest(content, target, ARM64).descriptor.digest == arm64.digest
    assert read_image(content, target, ARM64)[1].platform == ARM64


def test_by_default_the_first_that_is_here_serves(content: LocalContent) -> None:
    foreign = image(content, S390X)
    target = index(content, missing(AMD64), missing(ARM64), entry(foreign, S390X))

    assert find_manifest(content, target).descriptor.digest == foreign.digest


def test_a_single_image_serves_without_a_platform_whatever_it_is_for(content: LocalContent) -> None:
    foreign = image(content, S390X)

    assert find_manifest(content, foreign).descriptor == foreign
    with pytest.raises(PlatformNotFound, match="wanted linux/amd64, found linux/s390x"):
        find_manifest(content, foreign, AMD64)


def test_a_platform_that_was_never_fetched_is_not_found(content: LocalContent) -> None:
    target = index(content, missing(ARM64), entry(image(content, AMD64), AMD64))

    with pytest.raises(PlatformNotFound, match="wanted linux/arm64, found linux/amd64"):
        find_manifest(content, target, ARM64)
    with pytest.raises(PlatformNotFound, match="no content for platform"):
        find_manifest(content, index(content, missing(ARM64)), ARM64)


def test_an_unknown_target_is_not_found(content: LocalContent) -> None:
    with pytest.raises(ContentNotFound):
        list(documents(content, Descriptor(media_types.OCI_INDEX, digest_of(b"x"), 1)))


def test_a_descriptor_of_another_size_or_type_is_refused(content: LocalContent) -> None:
    found = image(content, AMD64)

    for wrong in (
        Descriptor(found.media_type, found.digest, found.size + 1),
        Descriptor(media_types.OCI_INDEX, found.digest, found.size),
    ):
        with pytest.raises(Exception, match="expected"):
            list(documents(content, wrong))


def test_artifacts_are_no_images(content: LocalContent) -> None:
    config = put(content, {}, "application/vnd.example")
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST, "config": config.to_dict()}
    artifact = put(content, document, media_types.OCI_MANIFEST)

    assert not list(present_manifests(content, artifact))
    with pytest.raises((Unsupported, PlatformNotFound)):
        read_image(content, artifact)


def test_each_manifest_is_visited_once_however_often_it_is_named(content: LocalContent) -> None:
    target = entry(image(content, AMD64), AMD64)
    for level in range(8):
        target = entry(index(content, *[target | {"annotations": {"n": f"{level}.{i}"}} for i in range(10)]))

    visited = list(documents(content, Descriptor.from_dict(target)))

    assert len(visited) == 9


def test_a_tower_of_indexes_is_refused(content: LocalContent) -> None:
    target = entry(image(content, AMD64), AMD64)
    for _ in range(12):
        target = entry(index(content, target))

    with pytest.raises(InvalidArgument, match="nested more than 8 deep"):
        list(documents(content, Descriptor.from_dict(target)))


def test_an_index_of_too_many_manifests_is_refused(content: LocalContent) -> None:
    wide = [index(content, *(missing(Platform("linux", f"x{i}-{j}")) for j in range(600))) for i in range(2)]
    target = index(content, *(entry(item) for item in wide))

    with pytest.raises(InvalidArgument, match=f"more than {NODE_LIMIT} manifests"):
        list(documents(content, target))
