"""Packets: objects, descriptors, and what is no message."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator

import pytest

from wherry.linux import process
from wherry.shim import protocol

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("packet", [b"{", b"[]", b"1", b'"x"', b"\xff", b'{"a":NaN}', b'{"document":true}'])
def test_what_is_no_message_is_refused_and_its_descriptors_closed(pair: Pair, packet: bytes) -> None:
    passed = os.open(os.devnull, os.O_RDONLY)
    rights = [] if b"document" in packet else [passed]
    pair[0].sendmsg(
        [packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", rights))] if rights else []
    )
    before = open_descriptors()

    with pytest.raises(protocol.ProtocolError):
        protocol.receive(pair[1])

    assert open_descriptors() == before
    os.close(passed)


def test_more_descriptors_than_agreed_are_refused_and_closed(pair: Pair) -> None:
    many = [0] * (protocol.MAX_DESCRIPTORS + 4)
    before = open_descriptors()
    pair[0].sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", many))])

    with pytest.raises(protocol.ProtocolError):
        protocol.receive(pair[1])

    assert open_descriptors() == before


def test_a_packet_too_long_is_refused(pair: Pair) -> None:
    pair[0].send(b'{"x":"' + b"x" * protocol.LIMIT_BYTES + b'"}')

    with pytest.raises(protocol.ProtocolError):
        protocol.receive(pair[1])


def test_a_document_that_is_none_is_refused(pair: Pair) -> None:
    fd = process.memfd("test", b"no json")
    rights = array.array("i", [fd])
    pair[0].sendmsg([b'{"document":true}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    with pytest.raises(protocol.ProtocolError):
        protocol.receive(pair[1])

    os.close(fd)


@pytest.mark.parametrize("size", [0, 10, protocol.LIMIT_BYTES - 20, protocol.LIMIT_BYTES, 1_000_000])
def test_an_object_arrives_with_its_descriptors(pair: Pair, size: int) -> None:
    reader, writer = os.pipe()
    message = {"text": "é" * (size // 2), "none": None}

    protocol.send(pair[0], message, [writer])

    received = protocol.receive(pair[1])
    assert received is not None
    assert received[0] == message
    assert not os.get_inheritable(received[1][0])
    os.write(received[1][0], b"x")
    assert os.read(reader, 1) == b"x"
    for fd in (reader, writer, *received[1]):
        os.close(fd)


def test_the_end_is_none(pair: Pair) -> None:
    pair[0].close()

    assert protocol.receive(pair[1]) is None


def test_a_full_queue_is_told_and_nothing_is_sent_by_half(pair: Pair) -> None:
    pair[0].setblocking(False)
    numbers = iter(range(1_000_000))

    def send_all() -> None:
        for number in numbers:
            protocol.send(pair[0], {"number": number})

    with pytest.raises(BlockingIOError):
        send_all()

    for number in range(next(numbers) - 1):
        assert protocol.receive(pair[1]) == ({"number": number}, [])
