"""Archives: every form that others write, and those that an attacker writes."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.registry import digest
from tests.integration.distribution.conftest import Stores, Told, gather, pieces_of, run, tar_of

from wherry.core.images import ImageNotFound
from wherry.core.transfer import import_image, load, read_image, save
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.files.zstd import ZstdCompressor
from wherry.oci import media_types
from wherry.oci.image_config import chain_ids
from wherry.oci.platform import Platform
from wherry.oci.reference import parse_normalized

LAYER = tar_of({"a": b"1" * 5000})


def zstd(data: bytes) -> bytes:
    compressor = ZstdCompressor()
    return compressor.compress(data) + compressor.flush()


def config_of(*layers: bytes, **fields: Any) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
    }
    return json.dumps(document | fields).encode()


def old_archive(
    config: bytes, layers: dict[str, bytes], tags: list[str] | None, **files: bytes
) -> dict[str, bytes]:
    """A docker-archive of before 2017: the manifest first, layers by directory."""
    name = digest(config).removeprefix("sha256:") + ".json"
    manifest = [{"Config": name, "RepoTags": tags, "Layers": list(layers)}]
    legacy = {}
    for path in layers:
        directory = path.rpartition("/")[0]
        legacy |= {f"{directory}/VERSION": b"1.0", f"{directory}/json": b"{}"}
    return {"manifest.json": json.dumps(manifest).encode(), name: config, **legacy, **layers, **files}


def blob_path(data: bytes) -> str:
    return "blobs/sha256/" + digest(data).removeprefix("sha256:")


def layout(manifest: dict[str, Any], blobs: list[bytes], **annotations: str) -> dict[str, bytes]:
    """An OCI layout of one image."""
    data = json.dumps(manifest).encode()
    entry = {"mediaType": media_types.OCI_MANIFEST, "digest": digest(data), "size": len(data)}
    index = {"schemaVersion": 2, "manifests": [entry | {"annotations": annotations}]}
    return {
        **{blob_path(blob): blob for blob in [data, *blobs]},
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index).encode(),
    }


def manifest_of(config: bytes, *layers: bytes) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "config": {"mediaType": media_types.OCI_CONFIG, "digest": digest(config), "size": len(config)},
        "layers": [
            {"mediaType": media_types.OCI_LAYER, "digest": digest(layer), "size": len(layer)}
            for layer in layers
        ],
    }


def loaded_names(stores: Stores, archive: bytes, **options: Any) -> list[str | None]:
    return [item.name for item in run(load(stores.services, pieces_of(archive, 3000), **options))]


def nothing_is_named(stores: Stores) -> bool:
    return not stores.services.images.list("moby") and not stores.services.leases.list()


class TestForms:
    @pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd, bz2.compress, lzma.compress])
    def test_a_compressed_archive_is_read(self, stores: Stores, compress: Callable[[bytes], bytes]) -> None:
        archive = tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"]))

        assert loaded_names(stores, compress(archive)) == ["app:1"]

    def test_entries_come_in_any_order(self, stores: Stores) -> None:
        files = old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"])

        assert loaded_names(stores, tar_of(dict(reversed(files.items())))) == ["app:1"]

    @pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
    def test_layers_of_every_compression_are_unpacked(
        self, stores: Stores, compress: Callable[[bytes], bytes]
    ) -> None:
        archive = tar_of(old_archive(config_of(LAYER), {"x/layer.tar": compress(LAYER)}, ["app:1"]))

        assert loaded_names(stores, archive) == ["app:1"]
        assert any(snapshot.kind == "committed" for snapshot in stores.snapshots.walk())

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
    def test_equal_layers_may_be_links(self, stores: Stores, kind: bytes) -> None:
        config = config_of(LAYER, LAYER)
        files = old_archive(config, {"x/layer.tar": LAYER, "y/layer.tar": b""}, ["app:1"])
        del files["y/layer.tar"]
        buffer = io.BytesIO(tar_of(files))
        with tarfile.open(fileobj=buffer, mode="a") as tar:
            link = tarfile.TarInfo("y/layer.tar")
            link.type = kind
            link.linkname = "../x/layer.tar" if kind == tarfile.SYMTYPE else "x/layer.tar"
            tar.addfile(link)

        assert loaded_names(stores, buffer.getvalue()) == ["app:1"]

    def test_the_same_archive_gives_the_same_image(self, stores: Stores, other_stores: Stores) -> None:
        archive = tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"]))

        loaded_names(stores, archive)
        loaded_names(other_stores, archive)

        assert [image.target for image in stores.services.images.list()] == [
            image.target for image in other_stores.services.images.list()
        ]

    @pytest.mark.parametrize(
        ("annotations", "names"),
        [
            ({"io.containerd.image.name": "docker.io/library/app:1"}, ["app:1"]),
            ({"org.opencontainers.image.ref.name": "reg.example/a/b:2"}, ["reg.example/a/b:2"]),
            ({"org.opencontainers.image.ref.name": "latest"}, [None]),
            ({}, [None]),
        ],
    )
    def test_a_layout_names_its_images_by_annotations(
        self, stores: Stores, annotations: dict[str, str], names: list[str | None]
    ) -> None:
        config = config_of(LAYER)

        archive = tar_of(layout(manifest_of(config, LAYER), [config, LAYER], **annotations))

        assert loaded_names(stores, archive) == names

    def test_an_image_without_a_name_dangles(self, stores: Stores) -> None:
        loaded_names(stores, tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, None)))

        (image,) = stores.services.images.list("moby")
        assert image.name == f"moby-dangling@{image.target.digest}"

    def test_a_platform_that_is_not_in_the_archive_is_not_found(self, stores: Stores) -> None:
        archive = tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"]))

        with pytest.raises(NotFound):
            loaded_names(stores, archive, platform=Platform("linux", "s390x"))
        assert nothing_is_named(stores)


class TestHostile:
    def refused(self, stores: Stores, files: dict[str, bytes], match: str | None = None) -> None:
        with pytest.raises(WherryError, match=match):
            loaded_names(stores, tar_of(files))
        assert nothing_is_named(stores)

    def test_no_images_is_docker_s_text(self, stores: Stores) -> None:
        self.refused(stores, {"x": b""}, r"^invalid archive: does not contain a manifest\.json$")

    @pytest.mark.parametrize("data", [b"", b"not a tar at all", bytes(100), b"\x1f\x8b\x08broken"])
    def test_what_is_no_archive_is_refused(self, stores: Stores, data: bytes) -> None:
        with pytest.raises(InvalidArgument):
            loaded_names(stores, data)
        assert nothing_is_named(stores)

    def test_an_archive_cut_short_is_refused(self, stores: Stores) -> None:
        archive = tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"]))

        for length in range(512, len(archive.rstrip(b"\0")), 512):
            with pytest.raises(WherryError):
                loaded_names(stores, archive[:length])
        assert nothing_is_named(stores)

    @pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a/../b"])
    def test_a_path_that_leads_out_is_refused(self, stores: Stores, path: str) -> None:
        self.refused(stores, {path: b"x"}, "refused the path")

    @pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
    def test_devices_are_refused(self, stores: Stores, kind: bytes) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            info = tarfile.TarInfo("manifest.json")
            info.type = kind
            tar.addfile(info)

        with pytest.raises(InvalidArgument, match="no plain file"):
            loaded_names(stores, buffer.getvalue())

    def test_a_circle_of_links_is_refused(self, stores: Stores) -> None:
        files = old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"])
        del files["x/layer.tar"]
        buffer = io.BytesIO(tar_of(files))
        with tarfile.open(fileobj=buffer, mode="a") as tar:
            for name, target in (("x/layer.tar", "y"), ("y", "x/layer.tar")):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.LNKTYPE, target
                tar.addfile(link)

        with pytest.raises(InvalidArgument, match="leads nowhere"):
            loaded_names(stores, buffer.getvalue())

    @pytest.mark.parametrize(
        "manifest",
        [
            b"null", b"{}", b"[null]", b"[{}]", b"[]", b"[" * 10_000, b" " * (5 << 20),
            b'[{"Config":7,"Layers":[]}]', b'[{"Config":"../x","Layers":[]}]',
            b'[{"Config":"/etc/passwd","Layers":[]}]', b'[{"Config":"gone","Layers":[]}]',
            b'[{"Config":"x","Layers":[1]}]', b'[{"Config":"x","Layers":{}}]',
            b'[{"Config":"x","Config":"y"}]', b'[{"Config":"x","Layers":[]}]',
        ],
    )  # fmt: skip
    def test_a_malformed_manifest_is_refused(self, stores: Stores, manifest: bytes) -> None:
        self.refused(stores, {"x": b"{}", "manifest.json": manifest})

    def test_a_length_mismatch_is_docker_s_text(self, stores: Stores) -> None:
        files = old_archive(config_of(LAYER, LAYER), {"x/layer.tar": LAYER}, ["app:1"])

        self.refused(stores, files, "^invalid manifest, layers length mismatch: expected 2, got 1$")

    def test_another_system_is_docker_s_text(self, stores: Stores) -> None:
        files = old_archive(config_of(LAYER, os="windows"), {"x/layer.tar": LAYER}, ["app:1"])

        self.refused(stores, files, "^cannot load windows image on linux$")

    def test_a_layer_of_another_diff_id_is_refused(self, stores: Stores) -> None:
        self.refused(stores, old_archive(config_of(LAYER), {"x/layer.tar": tar_of({"b": b""})}, ["app:1"]))

    @pytest.mark.parametrize("tag", ["UPPER", "a b", "../x", f"app@{digest(b'x')}"])
    def test_a_bad_name_is_refused(self, stores: Stores, tag: str) -> None:
        self.refused(stores, old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, [tag]))

    def test_a_blob_that_is_not_what_its_name_says_is_refused(self, stores: Stores) -> None:
        self.refused(stores, {blob_path(b"one"): b"two"})

    def test_a_blob_known_here_must_be_brought_all_the_same(self, stores: Stores) -> None:
        with stores.content.ingest("known") as ingest:
            ingest.write(b"one")

        self.refused(stores, {blob_path(b"one"): b"two"}, "other bytes under this name")

    def test_a_layout_cannot_borrow_blobs_it_does_not_bring(self, stores: Stores) -> None:
        config = config_of(LAYER)
        with stores.content.ingest("known") as ingest:
            ingest.write(LAYER)

        self.refused(stores, layout(manifest_of(config, LAYER), [config]), "is missing")

    def test_a_file_that_comes_twice_is_refused(self, stores: Stores) -> None:
        files = tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"]))
        buffer = io.BytesIO(files)
        with tarfile.open(fileobj=buffer, mode="a") as tar:
            info = tarfile.TarInfo("manifest.json")
            info.size = 2
            tar.addfile(info, io.BytesIO(b"[]"))

        with pytest.raises(InvalidArgument, match="there twice"):
            loaded_names(stores, buffer.getvalue())

    def test_a_layout_of_another_version_is_refused(self, stores: Stores) -> None:
        config = config_of(LAYER)
        files = layout(manifest_of(config, LAYER), [config, LAYER]) | {
            "oci-layout": b'{"imageLayoutVersion":"2.0.0"}'
        }

        self.refused(stores, files, "version 2.0.0")

    def test_a_cancelled_load_leaves_nothing(self, stores: Stores) -> None:
        async def stalled() -> AsyncIterator[bytes]:
            yield tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["app:1"]))[:4096]
            await asyncio.Event().wait()

        async def cancel() -> None:
            async with asyncio.timeout(0.3):
                await load(stores.services, stalled())

        with pytest.raises(TimeoutError):
            run(cancel())
        assert nothing_is_named(stores)


class TestImport:
    @pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd, bz2.compress, lzma.compress])
    def test_every_compression_gives_the_same_root(
        self, stores: Stores, compress: Callable[[bytes], bytes]
    ) -> None:
        image = run(
            import_image(stores.services, pieces_of(compress(LAYER)), reference=parse_normalized("r:1"))
        )

        manifest, config = read_image(stores.content, image.target)
        assert config.diff_ids == (digest(LAYER),)
        kept = zstd if compress is zstd else gzip.compress
        expected = media_types.OCI_LAYER_ZSTD if kept is zstd else media_types.OCI_LAYER_GZIP
        assert manifest.layers[0].media_type == expected

    def test_bytes_after_the_last_member_are_part_of_the_blob(self, stores: Stores) -> None:
        data = gzip.compress(LAYER) + gzip.compress(b"")

        image = run(import_image(stores.services, pieces_of(data)))

        manifest, _ = read_image(stores.content, image.target)
        assert manifest.layers[0].digest == digest(data)

    @pytest.mark.parametrize("data", [b"not a tar", gzip.compress(LAYER)[:50], lzma.compress(LAYER)[:50]])
    def test_what_is_no_tar_is_refused(self, stores: Stores, data: bytes) -> None:
        with pytest.raises(InvalidArgument):
            run(import_image(stores.services, pieces_of(data), reference=parse_normalized("r:1")))

        assert nothing_is_named(stores)

    def test_a_bad_change_is_refused_before_the_first_byte(self, stores: Stores) -> None:
        async def untouched() -> AsyncIterator[bytes]:
            raise AssertionError("read")
            yield b""

        with pytest.raises(InvalidArgument, match="unknown instruction"):
            run(import_image(stores.services, untouched(), changes=["NOPE x"]))

    def test_the_message_and_the_time_are_kept(self, stores: Stores) -> None:
        image = run(
            import_image(
                stores.services, io.BytesIO(LAYER), message="Imported from -",
                created_at_ns=1_500_000_000_120_000_000, platform=Platform("linux", "arm64"),
            )
        )  # fmt: skip

        _, config = read_image(stores.content, image.target)
        assert config.created == "2017-07-14T02:40:00.12Z"
        assert config.history == [{"created": config.created, "comment": "Imported from -"}]
        assert str(config.platform) == "linux/arm64"


class TestSave:
    def test_an_unknown_name_fails_before_the_first_byte(self, stores: Stores) -> None:
        with pytest.raises(ImageNotFound):
            run(gather(save(stores.services, [parse_normalized("gone")])))

    def test_a_reader_that_leaves_gives_the_lease_back(self, stores: Stores) -> None:
        run(import_image(stores.services, pieces_of(LAYER), reference=parse_normalized("r:1")))

        async def leave() -> None:
            pieces = save(stores.services, [parse_normalized("r:1")])
            await anext(pieces)
            await pieces.aclose()  # type: ignore[attr-defined]

        run(leave())

        assert not stores.services.leases.list()

    def test_progress_tells_of_loading(self, stores: Stores, other_stores: Stores) -> None:
        run(import_image(stores.services, pieces_of(LAYER), reference=parse_normalized("r:1")))
        archive = run(gather(save(stores.services, [parse_normalized("r:1")])))
        told = Told()

        run(load(other_stores.services, pieces_of(archive), progress=told))

        assert "Loading layer" in told.statuses


class TestDamage:
    @given(st.data())
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_damaged_archive_is_loaded_whole_or_refused(self, stores: Stores, data: st.DataObject) -> None:
        config = config_of(LAYER)
        files = data.draw(
            st.sampled_from(
                [
                    old_archive(config, {"x/layer.tar": LAYER}, ["app:1"]),
                    layout(manifest_of(config, LAYER), [config, LAYER]),
                ]
            )
        )
        archive = bytearray(tar_of(files).rstrip(b"\0"))
        for _ in range(data.draw(st.integers(1, 4))):
            archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))

        try:
            loaded_names(stores, bytes(archive) + bytes(2048))
        except WherryError:
            pass

        assert not stores.services.leases.list()
        for image in stores.services.images.list("moby"):
            manifest, found = read_image(stores.content, image.target)
            assert len(manifest.layers) == len(found.diff_ids)
            assert all(stores.snapshots.exists(chain) for chain in chain_ids(found.diff_ids))
