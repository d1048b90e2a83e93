"""Events: kept, followed and filtered."""

from __future__ import annotations

import asyncio
import time

import pytest

from wherry.engine import events as module
from wherry.engine.events import KEPT, Events, below_1_52, matches
from wherry.errors import InvalidArgument


def event(
    kind: str = "container", action: str = "start", actor: str = "abc", **attributes: str
) -> module.Event:
    return Events().emit(kind, action, actor, attributes)


class TestFilters:
    def test_an_unknown_one_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^invalid filter 'x'$"):
            Events().subscribe(filters={"x": ["y"]})

    @pytest.mark.parametrize(
        ("filters", "fits"),
        [
            ({"event": ["start", "die"]}, True),
            ({"event": ["star"]}, False),
            ({"type": ["image"]}, False),
            ({"scope": ["local"]}, True),
            ({"container": ["ab"]}, True),
            ({"container": ["box"]}, True),
            ({"network": ["nope"]}, False),
            ({"label": ["a"]}, True),
            ({"label": ["a=1", "b=3"]}, False),
            ({"image": ["busybox"]}, True),
            ({"image": ["busybox:1"]}, True),
            ({"image": ["box"]}, False),
            ({"event": ["start"], "type": ["container"], "label": ["b=2"]}, True),
            ({"event": []}, True),
        ],
    )
    def test_what_each_takes(self, filters: dict[str, list[str]], fits: bool) -> None:
        sent = event(name="box", image="busybox:1", a="1", b="2")

        assert matches(sent, filters) is fits

    def test_actions_with_a_tail_match_by_their_beginning(self) -> None:
        sent = event(action="exec_create: sh -c true")

        assert matches(sent, {"event": ["exec_create"]})
        assert not matches(sent, {"event": ["exec_die"]})


class TestStream:
    def test_times_in_the_wrong_order(self) -> None:
        with pytest.raises(InvalidArgument) as failure:
            Events().subscribe(since_ns=2_000_000_000, until_ns=1_000_000_000)

        assert str(failure.value) == "`since` time (2) cannot be after `until` time (1)"

    def test_past_ones_come_first_and_it_ends_at_until(self) -> None:
        async def scenario() -> list[str]:
            events = Events()
            events.emit("container", "create", "a", {})
            stream = events.subscribe(since_ns=0, until_ns=time.time_ns() + 50_000_000)
            events.emit("container", "start", "a", {})
            return [each["Action"] async for each in stream]

        assert asyncio.run(scenario()) == ["create", "start"]

    def test_a_subscription_begins_with_the_call(self) -> None:
        async def scenario() -> str:
            events = Events()
            events.emit("container", "create", "a", {})
            stream = events.subscribe()
            assert events.listeners == 1
            events.emit("container", "start", "a", {})
            first = await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
            assert events.listeners == 0
            return str(first["Action"])

        assert asyncio.run(scenario()) == "start"

    def test_only_the_newest_are_kept(self) -> None:
        events = Events()
        for number in range(KEPT + 10):
            events.emit("container", str(number), "a", {})

        kept = events.past(since_ns=0, until_ns=None, filters={})

        assert [kept[0]["Action"], len(kept)] == ["10", KEPT]

    def test_times_rise_strictly(self) -> None:
        events = Events()

        times = [events.emit("container", "x", "a", {})["timeNano"] for _ in range(1000)]

        assert len(set(times)) == 1000

    def test_a_reader_that_falls_behind_is_cut_off(self) -> None:
        async def scenario() -> int:
            events = Events()
            stream = events.subscribe()
            for _ in range(module.BACKLOG_LIMIT + 5):
                events.emit("container", "x", "a", {})
            return len([each async for each in stream])

        assert asyncio.run(scenario()) == module.BACKLOG_LIMIT


def test_older_clients_read_three_more_members() -> None:
    old = below_1_52(event(image="busybox"))

    assert (old["status"], old["id"], old["from"]) == ("start", "abc", "busybox")
    assert "from" not in below_1_52(event("image", "pull"))
    assert "status" not in below_1_52(event("network", "create"))
