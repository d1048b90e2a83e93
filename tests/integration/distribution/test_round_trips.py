"""Images go through a real registry, skopeo and podman, and come back as they were."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.integration.distribution.conftest import (
    PASSWORD,
    USER,
    RealRegistry,
    Stores,
    Told,
    call,
    gather,
    inspect,
    pieces_of,
    run,
    tar_of,
)

from wherry.core.remotes import Credentials, ManifestUnknown, NoCredentials, PullDenied
from wherry.core.transfer import LoadedImage, import_image, load, pull, push, read_image, save
from wherry.core.transfer.push import TagNotFound
from wherry.oci import media_types
from wherry.oci.reference import Reference, parse_normalized

OTHER = "docker.io/library/other:2"
CHANGES = ["CMD /bin/sh", "ENV A=b C='d e'", "LABEL x=y", "EXPOSE 80", "WORKDIR /srv"]


def imported(stores: Stores, layer: bytes, name: str) -> Reference:
    reference = parse_normalized(name)
    run(import_image(stores.services, pieces_of(layer), reference=reference, changes=CHANGES, message="made"))
    return reference


def load_file(stores: Stores, path: Path) -> list[LoadedImage]:
    with path.open("rb") as file:
        loaded: list[LoadedImage] = run(load(stores.services, file))
    return loaded


def root_of(stores: Stores, reference: Reference) -> Path:
    """The directory that holds the top layer of an image."""
    from wherry.oci.image_config import chain_ids

    image = stores.services.images.get("moby", str(reference))
    _, config = read_image(stores.content, image.target)
    return stores.snapshots.upper(chain_ids(config.diff_ids)[-1])


class TestRegistry:
    def test_a_push_and_a_pull_give_the_same_image(
        self, stores: Stores, other_stores: Stores, registry: RealRegistry, busybox_layer: bytes, told: Told
    ) -> None:
        reference = imported(stores, busybox_layer, f"{registry.host}/trip/one:1")
        pushed = run(push(stores.services, reference, progress=told))

        image = run(pull(other_stores.services, reference, progress=told))

        assert image.target == pushed == stores.services.images.get("moby", str(reference)).target
        assert (root_of(other_stores, reference) / "etc/motd").read_text() == "hello\n"
        found = inspect(f"docker://{reference}")
        assert found["Digest"] == pushed.digest

    def test_the_progress_is_docker_s(
        self, stores: Stores, other_stores: Stores, registry: RealRegistry, busybox_layer: bytes
    ) -> None:
        reference = imported(stores, busybox_layer, f"{registry.host}/trip/told:1")
        sent, sent_again, first, again = Told(), Told(), Told(), Told()

        pushed = run(push(stores.services, reference, progress=sent))
        run(push(stores.services, reference, progress=sent_again))
        run(pull(other_stores.services, reference, progress=first))
        run(pull(other_stores.services, reference, progress=again))

        manifest, _ = read_image(stores.content, pushed)
        layer = manifest.layers[0].digest.short
        assert [s for s in sent.of(layer) if s != "Pushing"] == ["Preparing", "Pushed"]
        assert sent_again.of(layer) == ["Preparing", "Layer already exists"]
        assert first.records[0][:2] == ("1", "Pulling from trip/told")
        quick = ("Downloading", "Extracting")
        assert [s for s in first.of(layer) if s not in quick] == [
            "Pulling fs layer",
            "Download complete",
            "Pull complete",
        ]
        assert again.of(layer) == ["Already exists"]

    def test_a_pull_by_digest_is_named_by_digest(
        self, stores: Stores, other_stores: Stores, registry: RealRegistry, busybox_layer: bytes
    ) -> None:
        reference = imported(stores, busybox_layer, f"{registry.host}/trip/digest:1")
        pushed = run(push(stores.services, reference))

        image = run(pull(other_stores.services, parse_normalized(f"{reference}@{pushed.digest}")))

        assert image.name == f"{registry.host}/trip/digest@{pushed.digest}"

    def test_a_moved_tag_leaves_the_old_image_dangling(
        self, stores: Stores, other_stores: Stores, registry: RealRegistry, busybox_layer: bytes
    ) -> None:
        name = f"{registry.host}/trip/moved:1"
        old = run(push(stores.services, imported(stores, busybox_layer, name)))
        run(pull(other_stores.services, parse_normalized(name)))
        new = run(push(stores.services, imported(stores, tar_of({"new": b"x"}), name)))

        run(pull(other_stores.services, parse_normalized(name)))

        names = {image.name: image.target.digest for image in other_stores.services.images.list("moby")}
        assert names == {name: new.digest, f"moby-dangling@{old.digest}": old.digest}

    def test_a_blob_of_a_sibling_repository_is_mounted(
        self, stores: Stores, registry: RealRegistry, busybox_layer: bytes
    ) -> None:
        run(push(stores.services, imported(stores, tar_of({"unique": b"1"}), f"{registry.host}/mount/a:1")))
        image = stores.services.images.get("moby", f"{registry.host}/mount/a:1")
        other = parse_normalized(f"{registry.host}/mount/b:1")
        stores.services.images.put("moby", type(image)(name=str(other), target=image.target))
        told = Told()

        run(push(stores.services, other, progress=told))

        assert "Mounted from mount/a" in told.statuses

    def test_what_is_not_there_is_not_found(self, stores: Stores, registry: RealRegistry) -> None:
        with pytest.raises(ManifestUnknown):
            run(pull(stores.services, parse_normalized(f"{registry.host}/no/such:1")))
        with pytest.raises(TagNotFound, match=r"^tag does not exist: busybox:latest$"):
            run(push(stores.services, parse_normalized("busybox")))

    def test_basic_authentication_opens_a_private_registry(
        self, stores: Stores, other_stores: Stores, private_registry: RealRegistry, busybox_layer: bytes
    ) -> None:
        reference = imported(stores, busybox_layer, f"{private_registry.host}/p/app:1")
        good = Credentials(username=USER, password=PASSWORD, server_address=private_registry.host)
        bad = Credentials(username=USER, password="wrong")

        with pytest.raises(NoCredentials):
            run(push(stores.services, reference))
        run(push(stores.services, reference, credentials=good))
        with pytest.raises(NoCredentials):
            run(pull(other_stores.services, reference))
        with pytest.raises(PullDenied):
            run(pull(other_stores.services, reference, credentials=bad))
        image = run(pull(other_stores.services, reference, credentials=good))

        assert image.name == str(reference)


class TestSkopeo:
    @pytest.mark.parametrize("form", ["v2s2", "oci"])
    def test_what_skopeo_pushes_is_pulled(
        self, stores: Stores, other_stores: Stores, registry: RealRegistry, busybox_layer: bytes,
        tmp_path: Path, form: str,
    ) -> None:  # fmt: skip
        imported(stores, busybox_layer, "app:1")
        archive = tmp_path / "app.tar"
        archive.write_bytes(run(gather(save(stores.services, [parse_normalized("app:1")]))))
        target = f"{registry.host}/skopeo/{form}:1"
        call(
            "skopeo", "copy", "--dest-tls-verify=false", "--format", form, f"docker-archive:{archive}:app:1",
            f"docker://{target}",
        )  # fmt: skip

        image = run(pull(other_stores.services, parse_normalized(target)))

        expected = media_types.OCI_MANIFEST if form == "oci" else media_types.DOCKER_MANIFEST
        assert image.target.media_type == expected
        _, config = read_image(other_stores.content, image.target)
        assert config.process["Env"] == ["A=b", "C=d e"]

    def test_what_is_pushed_skopeo_copies(
        self, stores: Stores, registry: RealRegistry, busybox_layer: bytes, tmp_path: Path
    ) -> None:
        reference = imported(stores, busybox_layer, f"{registry.host}/skopeo/out:1")
        run(push(stores.services, reference))

        call("skopeo", "copy", "--src-tls-verify=false", f"docker://{reference}", f"dir:{tmp_path}/out")

        manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
        assert manifest["mediaType"] == media_types.OCI_MANIFEST

    @pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
    def test_a_save_is_read_by_skopeo(
        self, stores: Stores, busybox_layer: bytes, tmp_path: Path, transport: str
    ) -> None:
        imported(stores, busybox_layer, "app:1")
        archive = tmp_path / "app.tar"
        archive.write_bytes(run(gather(save(stores.services, [parse_normalized("app:1")]))))

        found = inspect(f"{transport}:{archive}")

        assert found["Labels"] == {"x": "y"}
        call("skopeo", "copy", f"{transport}:{archive}", f"dir:{tmp_path}/copy")

    @pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
    def test_an_archive_of_skopeo_is_loaded(
        self, stores: Stores, other_stores: Stores, busybox_layer: bytes, tmp_path: Path, form: str
    ) -> None:
        imported(stores, busybox_layer, "app:1")
        saved = tmp_path / "app.tar"
        saved.write_bytes(run(gather(save(stores.services, [parse_normalized("app:1")]))))
        call(
            "skopeo",
            "copy",
            f"docker-archive:{saved}",
            f"{form}:{tmp_path}/out.tar:docker.io/library/other:2",
        )

        loaded = load_file(other_stores, tmp_path / "out.tar")

        assert [item.name for item in loaded] == ["other:2"]
        root = root_of(other_stores, parse_normalized("other:2"))
        assert (root / "bin/busybox").read_bytes() == Path("/bin/busybox").read_bytes()


class TestPodman:
    def test_a_save_is_loaded_by_podman_and_back(
        self, stores: Stores, other_stores: Stores, busybox_layer: bytes, tmp_path: Path
    ) -> None:
        imported(stores, busybox_layer, "podman-app:1")
        saved = tmp_path / "app.tar"
        saved.write_bytes(run(gather(save(stores.services, [parse_normalized("podman-app:1")]))))
        home = tempfile.mkdtemp(dir="/tmp")  # podman wants a short path
        podman = ("podman", "--root", f"{home}/root", "--runroot", f"{home}/run", "--storage-driver", "vfs")

        try:
            call(*podman, "load", "-i", str(saved))
            call(*podman, "save", "-o", f"{tmp_path}/back.tar", "podman-app:1")
        finally:
            call(*podman, "rmi", "-a", "-f")
            shutil.rmtree(home)

        loaded = load_file(other_stores, tmp_path / "back.tar")
        assert [item.name for item in loaded] == ["podman-app:1"]


class TestSave:
    def test_the_same_images_give_the_same_bytes(self, stores: Stores, busybox_layer: bytes) -> None:
        imported(stores, busybox_layer, "a:1")
        imported(stores, tar_of({"x": b"y"}), "b:1")
        names = [parse_normalized("a:1"), parse_normalized("b:1")]

        assert run(gather(save(stores.services, names))) == run(gather(save(stores.services, names)))

    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_several_images_are_saved_and_loaded(
        self, stores: Stores, other_stores: Stores, busybox_layer: bytes, compress: object
    ) -> None:
        imported(stores, busybox_layer, "a:1")
        imported(stores, busybox_layer, "c/b:2")
        names = [parse_normalized("a:1"), parse_normalized("c/b:2")]
        archive = compress(run(gather(save(stores.services, names))))  # type: ignore[operator]

        loaded = run(load(other_stores.services, pieces_of(archive)))

        assert [item.name for item in loaded] == ["a:1", "c/b:2"]
        for name in names:
            mine = stores.services.images.get("moby", str(name))
            theirs = other_stores.services.images.get("moby", str(name))
            assert theirs.target == mine.target
