"""Frames: what is encoded is decoded, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.api import frames

FRAMES = st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=40)), max_size=8)


def test_a_frame_has_its_stream_and_length_before_the_payload() -> None:
    assert frames.encode("stderr", b"hello") == b"\x02\0\0\0\0\0\0\x05hello"


@given(FRAMES, st.lists(st.integers(1, 9), min_size=1))
def test_frames_are_read_back_however_they_are_cut(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    data = b"".join(frames.encode(stream, payload) for stream, payload in sent)
    decoder = frames.Decoder()

    received: dict[int, bytes] = {}
    order = b""
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        for stream, part in decoder.feed(data[at : at + size]):
            received[stream] = received.get(stream, b"") + part
            order += part
        at, turn = at + size, turn + 1

    assert decoder.is_between_frames
    assert order == b"".join(payload for _, payload in sent)
    for stream in range(4):
        assert received.get(stream, b"") == b"".join(payload for number, payload in sent if number == stream)


@pytest.mark.parametrize("head", [b"\x04\0\0\0\0\0\0\0", b"\x01\1\0\0\0\0\0\0", b"HTTP/1.1"])
def test_what_is_no_frame_is_refused(head: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.Decoder().feed(head)


def test_a_cut_frame_is_noticed() -> None:
    decoder = frames.Decoder()

    decoder.feed(frames.encode(1, b"hello")[:-1])

    assert not decoder.is_between_frames
