"""Content on the local disk: the contract, and what a crash or a bad disk leaves."""

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.content import HELLO, ContentContract, describe, interrupt, put

from wherry.core.content import ContentMismatch
from wherry.core.content.local import LocalContent, ingest_name
from wherry.core.metadata import Metadata
from wherry.diagnostics import faults
from wherry.errors import DataLoss, ResourceExhausted
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[Metadata]:
    metadata = Metadata(tmp_path / "metadata.db")
    yield metadata
    metadata.close()


class TestLocalContent(ContentContract):
    @pytest.fixture
    def store(self, tmp_path: Path, metadata: Metadata) -> LocalContent:
        return LocalContent(tmp_path, metadata)

    def test_blobs_lie_as_in_an_image_layout_and_nobody_writes_to_them(
        self, store: LocalContent, tmp_path: Path
    ) -> None:
        hello = put(store, HELLO)

        path = tmp_path / "blobs" / "sha256" / hello.digest.hex
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert os.listdir(tmp_path / "ingest") == []

    def test_a_file_that_cannot_be_published_is_not_recorded(
        self, store: LocalContent, tmp_path: Path
    ) -> None:
        (tmp_path / "blobs").touch()  # in the way of the directory of that name
        hello = describe(HELLO)

        with pytest.raises((NotADirectoryError, FileExistsError)), store.ingest("hello", hello) as blob:
            blob.write(HELLO)

        assert list(store.list()) == []

    def test_bytes_that_the_disk_changed_are_noticed(self, store: LocalContent) -> None:
        hello = put(store, HELLO)
        path = store.path(hello.digest)
        path.chmod(0o600)
        path.write_bytes(HELLO[::-1])

        with pytest.raises(ContentMismatch, match="damaged"):
            store.read(hello.digest, limit_bytes=100)

    def test_a_resumed_ingest_whose_bytes_were_changed_is_refused(
        self, store: LocalContent, tmp_path: Path
    ) -> None:
        hello = describe(HELLO)
        interrupt(store, "hello", HELLO[:5], hello)
        (tmp_path / "ingest" / ingest_name("hello")).write_bytes(b"HELLO")

        with pytest.raises(ContentMismatch), store.ingest("hello", hello) as blob:
            blob.write(HELLO[5:])

        assert os.listdir(tmp_path / "ingest") == []

    @pytest.mark.parametrize("key", ["../../etc/passwd", "a/b", "", "\0", "x" * 5000, "\udcff"])
    def test_a_key_never_becomes_a_path(self, store: LocalContent, tmp_path: Path, key: str) -> None:
        interrupt(store, key, HELLO)

        assert os.listdir(tmp_path / "ingest") == [ingest_name(key)]

    def test_a_full_disk_keeps_what_was_hashed(
        self, store: LocalContent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hello = describe(HELLO)

        def full(fd: int, data: bytes) -> None:
            os.write(fd, data[:2])
            raise OSError(28, "No space left on device")

        interrupt(store, "hello", HELLO[:3], hello)
        with monkeypatch.context() as patch:
            patch.setattr("wherry.core.content.local.write_all", full)
            with pytest.raises(ResourceExhausted, match="no space left"):
                put_under(store, "hello", HELLO[3:], hello)

        with store.ingest("hello", hello) as blob:
            assert blob.offset == 3
            blob.write(HELLO[3:])

    def test_many_threads_ingest_the_same_blob(self, store: LocalContent) -> None:
        hello = describe(HELLO)
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                with store.ingest(f"key {number}", hello) as blob:
                    blob.write(HELLO)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert store.read(hello.digest, limit_bytes=100) == HELLO


def put_under(store: LocalContent, key: str, data: bytes, promised: Descriptor) -> None:
    with store.ingest(key, promised) as blob:
        blob.write(data)


class TestCrashes:
    POINTS = ("content.blob-synced", "content.blob-published")

    @pytest.mark.parametrize("point", POINTS)
    def test_a_kill_while_publishing_leaves_no_record_without_a_file(
        self, tmp_path: Path, point: str
    ) -> None:
        code = (
            "import sys; from pathlib import Path\n"
            "from wherry.core.metadata import Metadata; from wherry.core.content.local import LocalContent\n"
            "store = LocalContent(Path(sys.argv[1]), Metadata(Path(sys.argv[1]) / 'metadata.db'))\n"
            "with store.ingest('hello') as blob: blob.write(b'hello, world')\n"
        )

        ran = subprocess.run(
            [sys.executable, "-c", code, tmp_path], env={"PYTHONPATH": "src", "WHERRY_FAULT": point}
        )

        assert ran.returncode == -9
        metadata = Metadata(tmp_path / "metadata.db")
        store = LocalContent(tmp_path, metadata)
        assert list(store.list()) == []
        put(store, HELLO)
        assert store.read(digest_of(HELLO), limit_bytes=100) == HELLO
        metadata.close()

    def test_a_kill_between_record_and_file_leaves_a_file_that_is_swept(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path\n"
            "from wherry.core.metadata import Metadata; from wherry.core.content.local import LocalContent\n"
            "from wherry.oci.digest import digest_of\n"
            "store = LocalContent(Path(sys.argv[1]), Metadata(Path(sys.argv[1]) / 'metadata.db'))\n"
            "with store.ingest('hello') as blob: blob.write(b'hello, world')\n"
            "store.delete(digest_of(b'hello, world'))\n"
        )
        subprocess.run(
            [sys.executable, "-c", code, tmp_path],
            env={"PYTHONPATH": "src", "WHERRY_FAULT": "content.record-removed"},
        )
        metadata = Metadata(tmp_path / "metadata.db")
        store = LocalContent(tmp_path, metadata)
        assert len(list((tmp_path / "blobs").glob("*/*"))) == 1

        assert store.sweep(older_than_ns=time.time_ns()) == 1

        assert list((tmp_path / "blobs").glob("*/*")) == []
        metadata.close()

    def test_an_error_at_the_publication_keeps_the_bytes_for_the_next_try(
        self, tmp_path: Path, metadata: Metadata
    ) -> None:
        store = LocalContent(tmp_path, metadata)
        hello = describe(HELLO)
        faults.arm("content.blob-synced=EIO")
        try:
            with pytest.raises(DataLoss, match="input/output"), store.ingest("hello", hello) as blob:
                blob.write(HELLO)
        finally:
            faults.arm("")

        with store.ingest("hello", hello) as blob:
            assert blob.offset == len(HELLO)

        assert store.exists(hello.digest)


class TestSweep:
    def test_only_old_remains_go(self, tmp_path: Path, metadata: Metadata) -> None:
        store = LocalContent(tmp_path, metadata)
        for key in ("old", "leased", "young"):
            interrupt(store, key, HELLO)
        for key in ("old", "leased"):
            os.utime(tmp_path / "ingest" / ingest_name(key), ns=(0, 0))

        removed = store.sweep(older_than_ns=10**9, keep=lambda name: name == ingest_name("leased"))

        assert removed == 1
        assert sorted(os.listdir(tmp_path / "ingest")) == sorted(map(ingest_name, ("leased", "young")))

    def test_an_ingest_in_progress_stays_however_old(self, tmp_path: Path, metadata: Metadata) -> None:
        store = LocalContent(tmp_path, metadata)
        with store.ingest("slow") as blob:
            blob.write(HELLO)
            os.utime(tmp_path / "ingest" / ingest_name("slow"), ns=(0, 0))

            assert store.sweep(older_than_ns=time.time_ns()) == 0

        assert store.exists(digest_of(HELLO))
