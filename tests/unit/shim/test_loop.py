"""The loop: events, times, the end of a round, idleness."""

from __future__ import annotations

import os

from wherry.shim.loop import READABLE, Loop


def run_rounds(loop: Loop, rounds: int) -> None:
    left = [rounds]

    def goes_on() -> bool:
        left[0] -= 1
        return left[0] >= 0

    loop.run(goes_on)


def test_a_forgotten_descriptor_is_not_told_within_the_same_round() -> None:
    loop = Loop()
    first, second = os.pipe(), os.pipe()
    told: list[str] = []

    def forget_other(name: str, other: int) -> None:
        told.append(name)
        loop.forget(other)

    loop.watch(first[0], READABLE, lambda _: forget_other("first", second[0]))
    loop.watch(second[0], READABLE, lambda _: forget_other("second", first[0]))
    os.write(first[1], b"x")
    os.write(second[1], b"x")

    run_rounds(loop, 1)

    assert len(told) == 1
    for fd in (*first, *second):
        os.close(fd)


def test_forgetting_what_is_not_watched_is_no_error() -> None:
    Loop().forget(99)


def test_times_come_in_their_order() -> None:
    loop = Loop()
    told: list[int] = []
    for delay in (3, 1, 2):
        loop.call_after(delay / 1000, lambda delay=delay: told.append(delay))  # type: ignore[misc]

    loop.run(lambda: len(told) < 3)

    assert told == [1, 2, 3]


def test_the_end_of_a_round_comes_once_and_after_the_events() -> None:
    loop = Loop()
    reader, writer = os.pipe()
    told: list[str] = []

    def last() -> None:
        told.append("last")

    def ready(_: int) -> None:
        os.read(reader, 10)
        loop.call_last(last)
        loop.call_last(last)
        told.append("event")

    loop.watch(reader, READABLE, ready)
    os.write(writer, b"x")

    run_rounds(loop, 1)

    assert told == ["event", "last"]
    os.close(reader)
    os.close(writer)


def test_idleness_is_told_once() -> None:
    loop = Loop()
    told: list[str] = []
    loop.call_idle(0.001, lambda: told.append("idle"))
    run_rounds(loop, 1)
    loop.call_after(0.01, lambda: told.append("time"))

    run_rounds(loop, 1)

    assert told == ["idle", "time"]
