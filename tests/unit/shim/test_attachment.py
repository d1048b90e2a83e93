"""Attachments against real sockets: frames, queues, detach keys."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from wherry.shim.attachment import DETACHED, EOF, EXITED, QUEUE_LIMIT_BYTES, Attachment, DetachKeys
from wherry.shim.loop import Loop


class RecordedStdin:
    """Takes input as a process's stdin does, and keeps it."""

    def __init__(self) -> None:
        self.data = b""
        self.full = False
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def close_when_written(self) -> None:
        self.closed = True


class Stage:
    """An attachment, the client's end of its socket, and what was told."""

    def __init__(self, *, stdin: RecordedStdin | None = None, **options: Any) -> None:
        self.client, theirs = socket.socketpair()
        self.loop = Loop()
        self.ends: list[str] = []
        self.rooms = 0
        options = {"framed": True, "closes_stdin": True, "detach_keys": b""} | options
        self.attachment = Attachment(
            1,
            theirs.detach(),
            loop=self.loop,
            names=frozenset(("stdout", "stderr")),
            stdin=stdin,  # type: ignore[arg-type]
            on_end=lambda _, reason: self.ends.append(reason),
            on_room=self.room,
            **options,
        )

    def room(self) -> None:
        self.rooms += 1

    def turn(self, rounds: int = 1) -> None:
        """Let the loop run so many rounds; each must have something to do."""
        left = [rounds]

        def goes_on() -> bool:
            left[0] -= 1
            return left[0] >= 0

        self.loop.run(goes_on)

    def close(self) -> None:
        self.client.close()
        self.attachment.finish(EXITED)


@pytest.mark.parametrize(
    ("reads", "passed", "detached"),
    [
        ([b"\x10", b"\x11"], b"", True),
        ([b"\x10\x11"], b"", True),  # both keys in one read, as a fast network brings them
        ([b"a", b"\x10", b"b"], b"a\x10b", False),
        ([b"\x10", b"\x10", b"\x11"], b"\x10", True),
        ([b"a\x10\x11b"], b"a\x10\x11b", False),  # a paste
        ([b"\x10\x11b"], b"\x10\x11b", False),
        ([b"\x10", b"ab"], b"\x10ab", False),
        ([b"\x11", b"\x10"], b"\x11", False),
    ],
)
def test_detach_keys_are_what_is_typed(reads: list[bytes], passed: bytes, detached: bool) -> None:
    keys = DetachKeys(b"\x10\x11")

    results = [keys.filter(data) for data in reads]

    assert b"".join(data for data, _ in results) == passed
    assert results[-1][1] is detached


def test_without_keys_everything_is_input() -> None:
    assert DetachKeys(b"").filter(b"\x10\x11") == (b"\x10\x11", False)


def test_a_client_that_is_gone_is_told_once() -> None:
    stage = Stage()
    stage.client.close()

    for _ in range(3):
        stage.attachment.write("stdout", memoryview(b"x"))

    assert stage.ends == [EOF]


def test_a_frame_says_stream_and_length() -> None:
    stage = Stage()

    stage.attachment.write("stdout", memoryview(b"out"))
    stage.attachment.write("stderr", memoryview(b"error"))

    expected = b"\x01\0\0\0\0\0\0\x03out" + b"\x02\0\0\0\0\0\0\x05error"
    assert stage.client.recv(100) == expected
    stage.close()


def test_a_stream_not_asked_for_is_not_sent() -> None:
    stage = Stage(framed=False)
    stage.attachment.names = frozenset(("stderr",))

    stage.attachment.write("stdout", memoryview(b"out"))
    stage.attachment.write("stderr", memoryview(b"error"))

    assert stage.client.recv(100) == b"error"
    stage.close()


def test_what_the_client_does_not_take_waits_in_order_and_at_last_asks_for_patience() -> None:
    stage = Stage(framed=False)
    chunk = bytes(range(256)) * 256
    written = 0
    while not stage.attachment.full:
        stage.attachment.write("stdout", memoryview(chunk))
        written += len(chunk)
    assert QUEUE_LIMIT_BYTES <= written < 2 * QUEUE_LIMIT_BYTES + 1_000_000
    stage.attachment.finish(EXITED)

    received = b""
    while not stage.ends:
        received += stage.client.recv(1 << 20)
        stage.turn()
    while more := stage.client.recv(1 << 20):
        received += more

    assert received == chunk * (written // len(chunk))
    assert stage.rooms == 1
    assert stage.ends == [EXITED]
    stage.client.close()


def test_half_closing_closes_the_programs_input_and_keeps_the_output() -> None:
    stdin = RecordedStdin()
    stage = Stage(stdin=stdin, framed=False)
    stage.client.send(b"input")
    stage.turn()
    stage.client.shutdown(socket.SHUT_WR)
    stage.turn()

    stage.attachment.write("stdout", memoryview(b"output"))

    assert (stdin.data, stdin.closed) == (b"input", True)
    assert stage.client.recv(100) == b"output"
    assert stage.ends == []
    stage.close()


def test_half_closing_without_the_right_to_close_input_ends_the_attachment() -> None:
    stdin = RecordedStdin()
    stage = Stage(stdin=stdin, closes_stdin=False)
    stage.client.shutdown(socket.SHUT_WR)

    stage.turn()

    assert not stdin.closed
    assert stage.ends == [EOF]
    stage.client.close()


def test_detaching_passes_on_what_came_before() -> None:
    stdin = RecordedStdin()
    stage = Stage(stdin=stdin, detach_keys=b"\x10\x11")
    stage.client.send(b"abc")
    stage.turn()
    stage.client.send(b"\x10\x11")
    stage.turn()

    assert stdin.data == b"abc"
    assert stage.ends == [DETACHED]
    stage.client.close()


def test_a_full_stdin_leaves_input_in_the_clients_socket() -> None:
    stdin = RecordedStdin()
    stage = Stage(stdin=stdin)
    stdin.full = True
    stage.attachment.resume_input()
    stage.client.send(b"later")
    stage.loop.call_after(0.01, lambda: None)
    stage.turn()
    assert stdin.data == b""

    stdin.full = False
    stage.attachment.resume_input()
    stage.turn()

    assert stdin.data == b"later"
    stage.close()


def test_a_client_that_hangs_up_while_stdin_is_full_does_not_keep_the_loop_busy() -> None:
    stdin = RecordedStdin()
    stage = Stage(stdin=stdin)
    stdin.full = True
    stage.client.send(b"last words")
    stage.client.close()
    stage.turn()

    rounds = []
    stage.loop.call_after(0.02, lambda: rounds.append("time"))
    stage.turn()

    assert rounds == ["time"]
    stdin.full = False
    stage.attachment.resume_input()
    stage.turn(2)
    assert (stdin.data, stdin.closed) == (b"last words", True)
    stage.close()
