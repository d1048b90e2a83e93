"""Frames, detach keys and the conversation with a container's streams."""

import _socket
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli.conversation import DETACHED, EOF, Conversation
from wherry.cli.demultiplex import Demultiplexer
from wherry.cli.detach import DetachFilter, parse_keys
from wherry.cli.failures import CommandFailed
from wherry.client.api import Hijacked
from wherry.client.transports import PlainStream


def frame(stream: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(payload)) + payload


class Pipes:
    """Two pipes to be written as standard output and standard error."""

    def __init__(self) -> None:
        self._out, self._err = os.pipe(), os.pipe()
        self.stdout, self.stderr = self._out[1], self._err[1]

    def read(self) -> tuple[bytes, bytes]:
        """What was written; closes all."""
        contents = []
        for reading, writing in (self._out, self._err):
            os.close(writing)
            with os.fdopen(reading, "rb") as file:
                contents.append(file.read())
        return contents[0], contents[1]


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=60)), max_size=8),
    st.lists(st.integers(1, 30), max_size=20),
)
def test_frames_come_apart_however_the_stream_is_cut(parts: list[tuple[int, bytes]], cuts: list[int]) -> None:
    pipes = Pipes()
    frames = Demultiplexer(pipes.stdout, pipes.stderr)
    wire = b"".join(frame(stream, payload) for stream, payload in parts)

    for size in [*cuts, len(wire)]:
        frames.feed(memoryview(wire[:size]))
        wire = wire[size:]
    frames.finish()

    assert pipes.read() == (
        b"".join(payload for stream, payload in parts if stream == 1),
        b"".join(payload for stream, payload in parts if stream == 2),
    )


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (frame(3, b"out of disk"), "error from daemon in stream: out of disk"),
        (frame(9, b"x"), "Unrecognized input header: 9"),
        (frame(1, b"abc")[:-1], "unexpected EOF"),
        (frame(1, b"abc")[:5], "unexpected EOF"),
    ],
)
def test_a_stream_that_is_wrong_or_cut_short_is_a_failure(wire: bytes, message: str) -> None:
    pipes = Pipes()
    frames = Demultiplexer(pipes.stdout, pipes.stderr)

    def show() -> None:
        frames.feed(memoryview(wire))
        frames.finish()

    with pytest.raises(CommandFailed, match=message):
        show()

    pipes.read()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a,b", b"ab"),
        ("ctrl-[,DEL", b"\x1b\x7f"),
        ("ctrl-@", b"\0"),
    ],
)
def test_detach_keys_have_dockers_names(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "foo", "a,,b"])
def test_other_detach_keys_are_refused(text: str) -> None:
    with pytest.raises(CommandFailed, match="invalid detach keys"):
        parse_keys(text)


@pytest.mark.parametrize(
    ("typed", "sent", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"a\x10", b"b"], b"a\x10b", False),
        ([b"a\x10", b"\x11b"], b"a", True),
        ([b"\x10\x10\x11"], b"\x10", True),
        ([b"x\x10\x11rest"], b"x", True),
    ],
)
def test_the_sequence_is_found_across_reads_and_never_sent(
    typed: list[bytes], sent: bytes, detached: bool
) -> None:
    keys = DetachFilter(b"\x10\x11")

    passed = b"".join(keys.feed(data) for data in typed)

    assert (passed, keys.detached) == (sent, detached)


def test_what_was_held_back_is_sent_at_the_end_of_input() -> None:
    keys = DetachFilter(b"\x10\x11")

    assert keys.feed(b"a\x10") == b"a"
    assert keys.flush() == b"\x10"


@pytest.fixture
def peer() -> Iterator[tuple[socket.socket, PlainStream]]:
    ours, theirs = socket.socketpair()
    stream = PlainStream(_socket.socket(fileno=ours.detach()))
    with theirs:
        yield theirs, stream
    stream.close()


def converse(
    stream: PlainStream, data: bytes, pipes: Pipes, *, leftover: bytes = b"", **options: bool
) -> str:
    """A conversation with `data` on standard input."""
    reading, writing = os.pipe()

    def feed() -> None:
        try:
            with os.fdopen(writing, "wb", buffering=0) as file:
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
        except BrokenPipeError:
            pass  # the conversation ended before the input

    feeder = threading.Thread(target=feed)
    feeder.start()
    detach = DetachFilter(b"\x10\x11") if options.get("keys") else None
    conversation = Conversation(
        Hijacked(stream, leftover, ""),
        input_fd=reading,
        stdout_fd=pipes.stdout,
        stderr_fd=pipes.stderr,
        framed=options.get("framed", False),
        detach=detach,
    )
    try:
        return conversation.run()
    finally:
        os.close(reading)
        feeder.join()


def test_the_end_of_input_ends_one_direction_and_output_goes_on(
    peer: tuple[socket.socket, PlainStream],
) -> None:
    theirs, stream = peer
    data = os.urandom(3 * 1024 * 1024)
    pipes = Pipes()
    received = bytearray()

    def answer() -> None:
        while piece := theirs.recv(65536):
            received.extend(piece)
        theirs.sendall(frame(1, b"%d bytes" % len(received)))
        theirs.shutdown(socket.SHUT_WR)

    server = threading.Thread(target=answer)
    server.start()
    ended = converse(stream, data, pipes, framed=True)
    server.join()

    assert ended == EOF
    assert received == data
    assert pipes.read() == (b"3145728 bytes", b"")


def test_output_that_came_with_the_head_of_the_answer_is_shown_first(
    peer: tuple[socket.socket, PlainStream],
) -> None:
    theirs, stream = peer
    pipes = Pipes()
    theirs.sendall(b"second")
    theirs.shutdown(socket.SHUT_WR)

    converse(stream, b"", pipes, leftover=b"first ")

    assert pipes.read()[0] == b"first second"


def test_the_detach_keys_end_the_conversation_and_leave_the_connection(
    peer: tuple[socket.socket, PlainStream],
) -> None:
    theirs, stream = peer
    pipes = Pipes()

    ended = converse(stream, b"\x10\x11", pipes, keys=True)

    assert ended == DETACHED
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    pipes.read()


def test_input_for_a_peer_that_has_gone_does_not_fail(peer: tuple[socket.socket, PlainStream]) -> None:
    theirs, stream = peer
    pipes = Pipes()
    theirs.sendall(b"bye")
    theirs.close()

    assert converse(stream, b"x" * 200_000, pipes) == EOF
    assert pipes.read()[0] == b"bye"
