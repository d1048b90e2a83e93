"""Manifests, indexes and configs: one reading, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import WherryError
from wherry.oci import media_types
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest, InvalidDigest, digest_of
from wherry.oci.documents import InvalidDocument, parse_value
from wherry.oci.image_config import ImageConfig, chain_ids
from wherry.oci.manifest import Index, Manifest, Schema1Removed, parse_manifest
from wherry.oci.platform import Platform

DIGEST = str(digest_of(b"x"))


KEYS = st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "size"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
ANY_JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner), max_leaves=12
)


def descriptor(**fields: Any) -> dict[str, Any]:
    return {"mediaType": media_types.OCI_LAYER_GZIP, "digest": DIGEST, "size": 1, **fields}


def manifest(**fields: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": descriptor(mediaType=media_types.OCI_CONFIG),
        "layers": [descriptor()],
        **fields,
    }


def index(*platforms: str, **fields: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [
            descriptor(
                mediaType=media_types.OCI_MANIFEST,
                digest=str(digest_of(platform.encode())),
                platform=Platform.parse(platform).to_dict(),
            )
            for platform in platforms
        ],
        **fields,
    }


def dump(document: object) -> bytes:
    return json.dumps(document).encode()


class TestOneReading:
    @pytest.mark.parametrize(
        ("document", "promised"),
        [
            (manifest(manifests=[]), ""),
            (index("linux/amd64", layers=[]), ""),
            (index("linux/amd64", config=descriptor()), ""),
            (manifest(), media_types.OCI_INDEX),
            (index("linux/amd64"), media_types.OCI_MANIFEST),
            (manifest(), media_types.DOCKER_MANIFEST),
            (manifest(mediaType=None), media_types.DOCKER_MANIFEST),
            (manifest(mediaType=media_types.OCI_MANIFEST.upper()), ""),
            (manifest(mediaType=media_types.OCI_MANIFEST + "; charset=utf-8"), ""),
            ({**manifest(), "Manifests": []}, ""),
            ({**manifest(), "MEDIATYPE": media_types.OCI_INDEX}, ""),
            (manifest(schemaVersion="2"), ""),
            (manifest(schemaVersion=True), ""),
            (manifest(schemaVersion=3), ""),
            (manifest(layers={}), ""),
            (manifest(config=None), ""),
            (manifest(layers=[descriptor(size=-1)]), ""),
            (manifest(layers=[descriptor(size=1.0)]), ""),
            (manifest(layers=[descriptor(size=True)]), ""),
            (manifest(layers=[descriptor(size=2**63)]), ""),
            (manifest(layers=[descriptor(digest="sha256:../../v2/x")]), ""),
            (manifest(layers=[descriptor(digest="sha256:" + "A" * 64)]), ""),
            (manifest(layers=[descriptor(digest=DIGEST + "\n")]), ""),
            (manifest(layers=[None]), ""),
            (manifest(layers=[descriptor()] * 1001), ""),
            (manifest(annotations={"a": 1}), ""),
            ([], ""),
            (None, ""),
        ],
    )
    def test_what_could_be_something_else_is_refused(self, document: Any, promised: str) -> None:
        with pytest.raises(WherryError):
            parse_manifest(dump(document), promised)

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"{",
            b'{"schemaVersion":2,"schemaVersion":2}',
            b'{"a":NaN}',
            b'{"a":"\\ud800"}',
            b'{"a":1}{}',
            b"\xef\xbb\xbf{}",
            b'{"a":"\xff"}',
            b"[" * 100_000,
            b'{"a":' * 40 + b"1" + b"}" * 40,
            b'{"a":' + b"9" * 5000 + b"}",
            b" " * (4 << 20) + b"{}",
        ],
    )
    def test_json_that_is_ambiguous_or_without_bounds_is_refused(self, text: bytes) -> None:
        with pytest.raises(InvalidDocument):
            parse_value(text, "manifest")

    def test_schema_1_is_refused_with_docker_s_text(self) -> None:
        for data, media_type in (
            (dump({"schemaVersion": 1}), ""),
            (b"{}", media_types.DOCKER_SCHEMA1_SIGNED),
        ):
            with pytest.raises(
                Schema1Removed, match=r"^Docker Image Format v1 and Docker Image manifest version 2"
            ):
                parse_manifest(data, media_type)

    def test_a_document_without_media_type_is_told_by_its_shape(self) -> None:
        assert isinstance(parse_manifest(dump(manifest(mediaType=None))), Manifest)
        assert isinstance(parse_manifest(dump(index("linux/amd64", mediaType=None))), Index)

    def test_an_artifact_is_no_image(self) -> None:
        config = descriptor(mediaType=media_types.OCI_EMPTY)

        assert not Manifest.parse(dump(manifest(config=config))).is_image

    @given(ANY_JSON)
    def test_any_json_is_read_or_refused(self, document: Any) -> None:
        try:
            parse_manifest(dump(document))
        except WherryError:
            pass


class TestIndex:
    def test_attestations_are_no_images(self) -> None:
        document = index("linux/amd64")
        document["manifests"].append(
            descriptor(
                mediaType=media_types.OCI_MANIFEST,
                platform={"os": "unknown", "architecture": "unknown"},
                annotations={"vnd.docker.reference.type": "attestation-manifest"},
            )
        )

        parsed = Index.parse(dump(document))

        assert len(parsed.manifests) == 2
        assert len(parsed.images()) == 1

    def test_the_platform_s_manifest_is_chosen(self) -> None:
        parsed = Index.parse(dump(index("linux/arm64", "linux/amd64")))

        chosen = parsed.choose(Platform("linux", "amd64"))

        assert chosen is not None
        assert chosen.digest == digest_of(b"linux/amd64")
        assert parsed.choose(Platform("linux", "s390x")) is None


class TestDescriptor:
    def test_unknown_fields_survive(self) -> None:
        document = descriptor(
            data="eA==", platform={"architecture": "arm", "os": "linux", "variant": "v6"}, x=[1]
        )

        assert Descriptor.from_dict(document).to_dict() == document

    def test_equal_means_the_same_content(self) -> None:
        plain = Descriptor.from_dict(descriptor())

        assert plain == plain.with_annotations({"a": "b"})
        assert hash(plain) == hash(plain.with_annotations({"a": "b"}))


class TestConfig:
    def config(self, **fields: Any) -> ImageConfig:
        document = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        }
        return ImageConfig.parse(dump({**document, **fields}))

    @pytest.mark.parametrize(
        "fields",
        [
            {"rootfs": {"type": "tree"}},
            {"rootfs": {"diff_ids": ["sha256:x"]}},
            {"rootfs": {"diff_ids": [None]}},
            {"rootfs": []},
            {"rootfs": None},
            {"os": 1},
            {"config": []},
            {"config": {"Env": "A=b"}},
            {"config": {"Env": [1]}},
            {"config": {"Labels": {"a": None}}},
            {"config": {"User": 0}},
            {"history": [None]},
        ],
    )
    def test_wrong_types_are_refused(self, fields: Any) -> None:
        with pytest.raises(InvalidDocument):
            self.config(**fields)

    def test_null_is_nothing_as_in_go(self) -> None:
        config = self.config(config={"Env": None, "Labels": None, "User": None}, history=None)

        assert config.history == []

    def test_a_manifest_with_another_number_of_layers_is_refused(self) -> None:
        two = Manifest.parse(dump(manifest(layers=[descriptor(), descriptor()])))

        with pytest.raises(InvalidDocument, match=r"layers length mismatch: expected 1, got 2$"):
            self.config().check_layers(two)

    def test_chain_ids_are_those_of_the_specification(self) -> None:
        first, second = digest_of(b"1"), digest_of(b"2")

        assert chain_ids((first, second)) == [first, digest_of(f"{first} {second}".encode())]


@pytest.mark.parametrize(
    "text",
    ["", "sha256", "sha256:", "sha1:" + "0"*40, "sha256:" + "0"*63, "sha256:" + "0"*65, "sha256:" + "G"*64,
     "SHA256:" + "0" * 64, "sha256:" + "0" * 63 + "\n", "sha256:%2e%2e" + "0" * 58],
)  # fmt: skip
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigest):
        Digest(text)
