"""Reading ahead: the same bytes, the same failure, and no thread left behind."""

import hashlib
import io
import threading

import pytest

from wherry.files import pipeline
from wherry.files.pipeline import ReadAhead


def test_all_bytes_come_in_order_and_are_hashed() -> None:
    data = bytes(range(256)) * 20_000
    hasher = hashlib.sha256()

    with ReadAhead(io.BytesIO(data), hasher) as ahead:
        found = b"".join(iter(ahead.read, b""))

        assert found == data
        assert ahead.size == len(data)
        assert ahead.read() == b""
    assert hasher.digest() == hashlib.sha256(data).digest()


def test_a_failure_comes_after_what_was_read_before_it() -> None:
    class Failing:
        turn = 0

        def read(self, size: int) -> bytes:
            self.turn += 1
            if self.turn > 3:
                raise OSError(5, "Input/output error")
            return b"chunk"

    with ReadAhead(Failing()) as ahead:
        assert [ahead.read() for _ in range(3)] == [b"chunk"] * 3
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                ahead.read()


def test_it_reads_no_further_ahead_than_its_depth_and_ends_with_the_block() -> None:
    class Endless:
        turn = 0

        def read(self, size: int) -> bytes:
            self.turn += 1
            return b"x"

    before = threading.active_count()
    source = Endless()

    with ReadAhead(source) as ahead:
        ahead.read()

    assert source.turn <= pipeline.DEPTH + 3
    assert threading.active_count() == before
