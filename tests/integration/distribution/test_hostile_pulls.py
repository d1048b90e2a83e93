"""Pulls from a registry that lies: an error, no name, and nothing half made."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from tests.fakes.registry import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Answer, FakeRegistry, digest
from tests.integration.distribution.conftest import Stores, Told, run, tar_of

from wherry.core.remotes import ManifestUnknown
from wherry.core.transfer import pull, read_image
from wherry.errors import DataLoss, InvalidArgument, NotFound, Unsupported, WherryError
from wherry.files.zstd import ZstdCompressor
from wherry.oci.manifest import Schema1Removed
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference, parse_normalized

LAYER = tar_of({"a": b"1" * 100_000})
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


@pytest.fixture
def reference(fake: FakeRegistry) -> Reference:
    return parse_normalized(f"{fake.host}/team/app:1")


def nothing_is_named(stores: Stores) -> bool:
    snapshots = [snapshot for snapshot in stores.snapshots.walk() if snapshot.kind != "committed"]
    return not stores.services.images.list("moby") and not snapshots and not stores.services.leases.list()


def manifest_of(fake: FakeRegistry) -> dict[str, Any]:
    """A correct manifest, to be spoiled."""
    fake.add_image("team/app", "1", [LAYER])
    document: dict[str, Any] = json.loads(fake.manifests["team/app", "1"][1])
    return document


class TestWrongContent:
    def test_a_layer_with_other_bytes_is_refused(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER])
        fake.script("GET", f"/v2/team/app/blobs/{digest(LAYER)}", Answer(200, LAYER[:-1] + b"x"))

        with pytest.raises(DataLoss):
            run(pull(stores.services, reference))

        assert nothing_is_named(stores)
        assert not any(info.digest == digest(LAYER) for info in stores.content.list())

    def test_a_manifest_with_other_bytes_is_refused(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        found = fake.add_image("team/app", "1", [LAYER])
        data = fake.manifests["team/app", "1"][1]
        fake.script("GET", f"/v2/team/app/manifests/{found}", Answer(200, data + b" "))

        with pytest.raises(DataLoss, match="manifest verification failed"):
            run(pull(stores.services, reference))

        assert nothing_is_named(stores)

    def test_a_layer_that_is_not_what_the_config_says_is_refused(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        other = fake.add_blob(tar_of({"b": b"2"}))
        fake.add_image("team/app", "1", [LAYER], rootfs={"type": "layers", "diff_ids": [other]})

        with pytest.raises(WherryError):
            run(pull(stores.services, reference))

        assert nothing_is_named(stores)

    @pytest.mark.parametrize("diff_ids", [[], [digest(LAYER)] * 2])
    def test_a_config_of_another_number_of_layers_is_refused(
        self, fake: FakeRegistry, stores: Stores, reference: Reference, diff_ids: list[str]
    ) -> None:
        fake.add_image("team/app", "1", [LAYER], rootfs={"type": "layers", "diff_ids": diff_ids})

        with pytest.raises(InvalidArgument, match="layers length mismatch"):
            run(pull(stores.services, reference))

        assert nothing_is_named(stores)

    def test_the_resolved_digest_holds_although_the_tag_moves(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        first = fake.add_image("team/app", "1", [LAYER])
        head = fake.manifests["team/app", "1"][1]
        fake.add_image("team/app", "1", [tar_of({"moved": b""})])
        fake.script(
            "HEAD", "/v2/team/app/manifests/1",
            Answer(200, head, {"Docker-Content-Digest": first, "Content-Type": OCI_MANIFEST}),
        )  # fmt: skip

        assert run(pull(stores.services, reference)).target.digest == first


class TestConfusion:
    @pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX])
    def test_a_document_that_is_both_is_refused(
        self, fake: FakeRegistry, stores: Stores, reference: Reference, media_type: str
    ) -> None:
        document = manifest_of(fake) | {"mediaType": media_type, "manifests": []}
        fake.add_manifest("team/app", "1", document, media_type)

        with pytest.raises(InvalidArgument, match="both layers and manifests"):
            run(pull(stores.services, reference))

        assert nothing_is_named(stores)

    def test_a_header_and_a_body_that_differ_are_refused(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        fake.add_manifest("team/app", "1", manifest_of(fake), OCI_INDEX)

        with pytest.raises(InvalidArgument, match="mediaType: expected"):
            run(pull(stores.services, reference))

    def test_schema_1_is_refused_by_name(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        fake.add_manifest(
            "team/app", "1", {"schemaVersion": 1, "fsLayers": []},
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
        )  # fmt: skip

        with pytest.raises(Schema1Removed, match=r"author of 127\.0\.0\.1:\d+/team/app:1 to upgrade"):
            run(pull(stores.services, reference))

    def test_an_artifact_is_no_image(self, fake: FakeRegistry, stores: Stores, reference: Reference) -> None:
        document = manifest_of(fake)
        document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
        fake.add_manifest("team/app", "1", document)

        with pytest.raises(Unsupported, match="helm"):
            run(pull(stores.services, reference))

    def test_layers_of_other_hosts_are_refused(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        document = manifest_of(fake)
        document["layers"][0]["urls"] = ["http://169.254.169.254/"]
        fake.add_manifest("team/app", "1", document)

        with pytest.raises(Unsupported, match="another host"):
            run(pull(stores.services, reference))


class TestIndexes:
    def index(self, fake: FakeRegistry, *entries: dict[str, Any]) -> str:
        return fake.add_manifest(
            "team/app",
            "1",
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)},
            OCI_INDEX,
        )

    def entry(self, fake: FakeRegistry, name: str, platform: Platform | None, **extra: Any) -> dict[str, Any]:
        found = fake.add_image(
            "team/app",
            f"tmp-{name}",
            [tar_of({name: b""})],
            architecture=platform.architecture if platform else "x",
        )
        size = len(fake.manifests["team/app", found][1])
        entry = {"mediaType": OCI_MANIFEST, "digest": found, "size": size, **extra}
        return entry | ({"platform": platform.to_dict()} if platform else {})

    def test_only_the_platform_s_content_is_fetched(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        amd64, arm64 = self.entry(fake, "amd64", AMD64), self.entry(fake, "arm64", ARM64)
        unknown = Platform("unknown", "unknown")
        attestation = self.entry(fake, "att", unknown, annotations={"vnd.docker.reference.type": "x"})
        found = self.index(fake, attestation, arm64, amd64)

        image = run(pull(stores.services, reference, platform=AMD64))

        assert image.target.digest == found
        assert image.target.media_type == OCI_INDEX
        _, config = read_image(stores.content, image.target)
        assert config.platform == AMD64
        assert not fake.seen("GET", f"/v2/team/app/manifests/{arm64['digest']}")
        assert not fake.seen("GET", f"/v2/team/app/manifests/{attestation['digest']}")

    def test_a_second_platform_joins_the_first(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        self.index(fake, self.entry(fake, "arm64", ARM64), self.entry(fake, "amd64", AMD64))

        image = run(pull(stores.services, reference, platform=AMD64))
        run(pull(stores.services, reference, platform=ARM64))

        assert read_image(stores.content, image.target, ARM64)[1].platform == ARM64
        assert read_image(stores.content, image.target, AMD64)[1].platform == AMD64

    def test_a_platform_that_is_not_there_is_named(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        self.index(fake, self.entry(fake, "arm64", ARM64))

        with pytest.raises(
            NotFound, match=r"^no matching manifest for linux/s390x in the manifest list entries$"
        ):
            run(pull(stores.services, reference, platform=Platform("linux", "s390x")))

    def test_a_single_image_of_another_platform_is_refused_when_one_was_asked_for(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER], architecture="arm64")

        with pytest.raises(
            NotFound, match=r"\(linux/arm64\) does not match the specified platform \(linux/amd64\)"
        ):
            run(pull(stores.services, reference, platform=AMD64))

    def test_a_tower_of_indexes_is_given_up(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        entry = self.entry(fake, "amd64", AMD64)
        for _ in range(20):
            found = self.index(fake, *([entry] * 10))
            size = len(fake.manifests["team/app", found][1])
            entry = {"mediaType": OCI_INDEX, "digest": found, "size": size, "platform": AMD64.to_dict()}

        with pytest.raises(InvalidArgument, match="nested more than 8 deep"):
            run(pull(stores.services, reference, platform=AMD64))

        assert len(fake.requests) < 20


class TestResume:
    def test_a_broken_pull_goes_on_where_it_broke(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER])
        path = f"/v2/team/app/blobs/{digest(LAYER)}"
        fake.script("GET", path, Answer(200, LAYER, cut=60_000), Answer(404))
        with pytest.raises(ManifestUnknown):
            run(pull(stores.services, reference))
        assert nothing_is_named(stores)
        rest = {"Content-Range": f"bytes 60000-{len(LAYER) - 1}/{len(LAYER)}"}
        fake.script("GET", path, Answer(206, LAYER[60_000:], rest))

        run(pull(stores.services, reference))

        assert fake.seen("GET", path)[-1].headers["Range"] == "bytes=60000-"

    def test_pulls_of_one_image_at_once_fetch_it_once(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER])

        async def all_at_once() -> None:
            await asyncio.gather(*(pull(stores.services, reference) for _ in range(6)))

        run(all_at_once())

        assert len(fake.seen("GET", f"/v2/team/app/blobs/{digest(LAYER)}")) == 1

    def test_a_cancelled_pull_leaves_nothing(
        self, fake: FakeRegistry, stores: Stores, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER])
        fake.script("GET", f"/v2/team/app/blobs/{digest(LAYER)}", Answer(silent=True))

        async def cancel() -> None:
            async with asyncio.timeout(0.5):
                await pull(stores.services, reference)

        with pytest.raises(TimeoutError):
            run(cancel())
        assert nothing_is_named(stores)


class TestForms:
    @pytest.mark.parametrize("form", ["gzip", "zstd", "twice", "none"])
    def test_every_form_of_layer_is_unpacked(
        self, fake: FakeRegistry, stores: Stores, reference: Reference, form: str
    ) -> None:
        blob = _zstd(LAYER) if form == "zstd" else gzip.compress(LAYER)
        count = {"none": 0, "twice": 2}.get(form, 1)
        media_type = ZSTD if form == "zstd" else "application/vnd.oci.image.layer.v1.tar+gzip"
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)] * count},
            }
        ).encode()
        layers = [{"mediaType": media_type, "digest": fake.add_blob(blob), "size": len(blob)}] * count
        fake.add_manifest(
            "team/app", "1",
            {
                "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
                "config": {"mediaType": OCI_CONFIG, "digest": fake.add_blob(config), "size": len(config)},
            },
        )  # fmt: skip
        told = Told()

        run(pull(stores.services, reference, progress=told))

        assert len([s for s in stores.snapshots.walk() if s.kind == "committed"]) == len(layers)


def _zstd(data: bytes) -> bytes:
    compressor = ZstdCompressor()
    return compressor.compress(data) + compressor.flush()
