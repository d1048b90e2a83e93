"""Decompression: told by the bytes, bounded, and one error for all that is wrong."""

import bz2
import gzip
import io
import lzma
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry.files import decompress
from wherry.files.decompress import DecompressionFailed, detect, open_compressed
from wherry.files.zstd import compress as zstd_compress

TEXT = os.urandom(1000) * 300
COMPRESSORS = {
    "": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstd_compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


class Dripping(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(7, size) if size and size > 0 else 7)


def read_all(data: bytes, compression: str | None = None) -> bytes:
    stream = open_compressed(io.BytesIO(data), compression)
    return b"".join(iter(lambda: stream.read(1 << 16), b""))


@pytest.mark.parametrize("name", COMPRESSORS)
def test_the_bytes_tell_how_they_are_compressed(name: str) -> None:
    data = COMPRESSORS[name](TEXT)

    assert detect(data) == name
    assert read_all(data) == TEXT
    assert read_all(data, name) == TEXT


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_stream_may_drip(name: str) -> None:
    stream = open_compressed(Dripping(COMPRESSORS[name](b"short text" * 50)))

    assert b"".join(iter(lambda: stream.read(100), b"")) == b"short text" * 50


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
def test_another_compression_than_promised_is_refused(name: str) -> None:
    with pytest.raises(DecompressionFailed, match=f"the stream is not compressed, expected {name}"):
        read_all(b"plain text", name)
    with pytest.raises(DecompressionFailed, match="expected no compression"):
        read_all(COMPRESSORS[name](TEXT), "")


def test_members_in_a_row_are_one_stream() -> None:
    assert read_all(gzip.compress(b"one") + gzip.compress(b"two") + bytes(100)) == b"onetwo"
    assert read_all(zstd_compress(b"one") + zstd_compress(b"two")) == b"onetwo"


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
def test_every_truncation_is_refused(name: str) -> None:
    data = COMPRESSORS[name](os.urandom(300))

    for end in range(6, len(data), 7):
        with pytest.raises(DecompressionFailed):
            read_all(data[:end])


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
@settings(max_examples=60, deadline=500)
@given(position=st.integers(6, 200), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_other_bytes_or_the_typed_error(name: str, position: int, bit: int) -> None:
    data = bytearray(COMPRESSORS[name](b"some text " * 20))
    data[position % len(data)] ^= 1 << bit

    try:
        read_all(bytes(data))
    except DecompressionFailed:
        pass


def test_junk_behind_a_gzip_member_is_refused() -> None:
    with pytest.raises(DecompressionFailed):
        read_all(gzip.compress(b"text") + b"junk that is no member")


@pytest.mark.parametrize("name", ["gzip", "zstd", "xz"])
def test_a_bomb_is_refused_before_it_has_filled_the_disk(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompress, "FREE_BYTES", 1 << 20)
    bomb = COMPRESSORS[name](bytes(64 << 20))
    stream = open_compressed(io.BytesIO(bomb))
    tracemalloc.start()

    lengths: list[int] = []
    with pytest.raises(DecompressionFailed, match="grows to more than 400 times"):
        lengths.extend(map(len, iter(lambda: stream.read(1 << 16), b"")))

    assert sum(lengths) < 40 << 20
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
