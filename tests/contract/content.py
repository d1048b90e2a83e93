"""What every content store does."""

import pytest

from wherry.core.content import ContentMismatch, ContentNotFound, ContentStore, IngestBusy
from wherry.errors import InvalidArgument
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import digest_of

HELLO = b"hello, world"
MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"


class Interrupted(Exception):
    """What a test raises inside a block."""


def describe(data: bytes, algorithm: str = "sha256") -> Descriptor:
    """A descriptor of `data`."""
    return Descriptor(MEDIA_TYPE, digest_of(data, algorithm), len(data))


def put(store: ContentStore, data: bytes) -> Descriptor:
    """Ingest `data` whole."""
    promised = describe(data)
    with store.ingest(f"put {promised.digest}", promised) as blob:
        blob.write(data)
    return promised


def interrupt(store: ContentStore, key: str, data: bytes, promised: Descriptor | None = None) -> None:
    """Begin an ingest, and let it end by an exception after `data`."""
    try:
        with store.ingest(key, promised) as blob:
            blob.write(data)
            raise Interrupted
    except Interrupted:
        pass


class ContentContract:
    """What every content store does."""

    def test_a_blob_appears_only_when_its_ingest_ends(self, store: ContentStore) -> None:
        hello = describe(HELLO)

        with store.ingest("hello", hello) as blob:
            blob.write(HELLO)
            with pytest.raises(ContentNotFound):
                store.open(hello.digest)
            assert not store.exists(hello.digest)

        with store.open(hello.digest) as file:
            assert file.read() == HELLO
        assert store.exists(hello.digest)

    @pytest.mark.parametrize("written", [b"", b"hello", HELLO + b"!", HELLO.upper()])
    def test_wrong_bytes_leave_nothing_behind(self, store: ContentStore, written: bytes) -> None:
        hello = describe(HELLO)

        with pytest.raises(ContentMismatch), store.ingest("hello", hello) as blob:
            blob.write(written)

        with pytest.raises(ContentNotFound):
            store.open(hello.digest)
        with store.ingest("hello", hello) as blob:
            assert blob.offset == 0
            blob.write(HELLO)

    def test_more_bytes_than_promised_are_refused_when_they_come(self, store: ContentStore) -> None:
        with store.ingest("hello", describe(HELLO)) as blob:
            blob.write(HELLO)

            with pytest.raises(ContentMismatch, match="at least 13 bytes, expected 12"):
                blob.write(b"!")

    def test_an_interrupted_ingest_goes_on_where_it_stopped(self, store: ContentStore) -> None:
        hello = describe(HELLO)
        interrupt(store, "hello", HELLO[:3], hello)

        with store.ingest("hello", hello) as blob:
            assert blob.offset == 3
            blob.write(HELLO[3:])

        with store.open(hello.digest) as file:
            assert file.read() == HELLO

    def test_a_source_that_cannot_go_on_starts_anew(self, store: ContentStore) -> None:
        hello = describe(HELLO)
        interrupt(store, "hello", b"other", hello)

        with store.ingest("hello", hello) as blob:
            blob.restart()
            blob.write(HELLO)

        assert store.exists(hello.digest)

    def test_one_key_has_one_writer_at_a_time(self, store: ContentStore) -> None:
        hello = describe(HELLO)

        with store.ingest("hello", hello) as blob:
            with pytest.raises(IngestBusy), store.ingest("hello", hello):
                pass
            blob.write(HELLO)

    def test_other_keys_do_not_wait(self, store: ContentStore) -> None:
        hello = describe(HELLO)

        with store.ingest("one", hello) as one, store.ingest("two", hello) as two:
            one.write(HELLO)
            two.write(HELLO)

        assert store.info(hello.digest).size == len(HELLO)

    def test_without_a_promise_the_bytes_tell_what_they_are(self, store: ContentStore) -> None:
        with store.ingest("any") as blob:
            blob.write(HELLO[:5])
            blob.write(memoryview(HELLO)[5:])
            found = blob.descriptor

        assert found.digest == digest_of(HELLO)
        assert store.read(found.digest, limit_bytes=100) == HELLO

    def test_a_blob_that_is_here_can_come_again(self, store: ContentStore) -> None:
        hello = put(store, HELLO)

        put(store, HELLO)

        assert [info.digest for info in store.list()] == [hello.digest]

    def test_other_algorithms_are_kept_apart(self, store: ContentStore) -> None:
        promised = describe(HELLO, "sha512")

        with store.ingest("hello", promised) as blob:
            blob.write(HELLO)

        assert store.exists(promised.digest)
        assert not store.exists(digest_of(HELLO))

    def test_what_is_recorded_can_be_asked_for(self, store: ContentStore) -> None:
        hello = put(store, HELLO)

        info = store.info(hello.digest)

        assert info.descriptor == hello
        assert info.created_at_ns > 0
        assert store.path(hello.digest).read_bytes() == HELLO

    def test_labels_are_set_and_removed_one_by_one(self, store: ContentStore) -> None:
        hello = put(store, HELLO)
        store.update_labels(hello.digest, {"a": "1", "b": "2"})

        store.update_labels(hello.digest, {"a": None, "c": "3"})

        assert store.info(hello.digest).labels == {"b": "2", "c": "3"}

    def test_reading_is_bounded(self, store: ContentStore) -> None:
        hello = put(store, HELLO)

        with pytest.raises(InvalidArgument, match="larger than 11 bytes"):
            store.read(hello.digest, limit_bytes=11)

    def test_who_has_a_blob_open_reads_on_after_it_was_deleted(self, store: ContentStore) -> None:
        hello = put(store, HELLO)

        with store.open(hello.digest) as file:
            assert store.delete(hello.digest)
            assert file.read() == HELLO

        with pytest.raises(ContentNotFound):
            store.open(hello.digest)

    def test_a_deletion_can_be_forbidden_at_the_last_moment(self, store: ContentStore) -> None:
        hello = put(store, HELLO)

        assert not store.delete(hello.digest, unless=lambda _connection: True)

        assert store.exists(hello.digest)

    def test_what_is_not_here_is_not_found(self, store: ContentStore) -> None:
        digest = digest_of(b"nothing")

        for ask in (store.open, store.info, store.path, store.delete):
            with pytest.raises(ContentNotFound, match="content sha256:"):
                ask(digest)
        with pytest.raises(ContentNotFound):
            store.update_labels(digest, {})
