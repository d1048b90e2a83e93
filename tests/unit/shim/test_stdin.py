"""A process's input: pipes that fill up, close, and come late."""

from __future__ import annotations

import os

from wherry.shim.loop import Loop
from wherry.shim.stdin import Stdin


class Stage:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        self.loop = Loop()
        self.rooms = 0
        self.stdin = Stdin(self.loop, self.room)

    def room(self) -> None:
        self.rooms += 1

    def turn(self) -> None:
        self.loop.run(iter([True, False]).__next__)


def test_input_for_a_process_that_closed_its_end_is_dropped() -> None:
    stage = Stage()
    stage.stdin.open(stage.writer)
    os.close(stage.reader)

    stage.stdin.write(b"for nobody")
    stage.stdin.write(b"nor this")

    assert not stage.stdin.full


def test_what_does_not_fit_waits_and_comes_in_order() -> None:
    stage = Stage()
    stage.stdin.open(stage.writer)
    data = os.urandom(300_000)

    stage.stdin.write(data[:200_000])
    assert stage.stdin.full
    stage.stdin.write(data[200_000:])
    stage.stdin.close_when_written()
    received = b""
    while more := os.read(stage.reader, 65536):
        received += more
        if stage.stdin.full:
            stage.turn()

    assert received == data
    assert stage.rooms == 1
    os.close(stage.reader)


def test_input_before_the_process_waits_for_it() -> None:
    stage = Stage()
    stage.stdin.write(b"early ")
    stage.stdin.write(b"words")
    stage.stdin.close_when_written()
    assert stage.stdin.full

    stage.stdin.open(stage.writer)

    assert os.read(stage.reader, 100) == b"early words"
    assert os.read(stage.reader, 100) == b""
    os.close(stage.reader)


def test_an_input_closed_before_the_process_is_closed_for_it() -> None:
    stage = Stage()
    stage.stdin.close_when_written()

    stage.stdin.open(stage.writer)

    assert os.read(stage.reader, 100) == b""
    os.close(stage.reader)
