"""Events: in order, to whoever wants them, and never holding up who tells them."""

import asyncio

from wherry.core import events
from wherry.core.events import Event, EventBus


def event(topic: str) -> Event:
    return Event(topic=topic, tenant="moby", payload={"id": "x"})


def test_a_subscriber_gets_what_it_wants_from_now_on() -> None:
    async def run() -> list[str]:
        bus = EventBus()
        bus.publish(event("/before"))
        with bus.subscribe(lambda e: e.topic.startswith("/tasks/")) as subscription:
            for topic in ("/tasks/start", "/images/create", "/tasks/exit"):
                bus.publish(event(topic))
            return [(await anext(subscription)).topic for _ in range(2)]

    assert asyncio.run(run()) == ["/tasks/start", "/tasks/exit"]


def test_events_come_from_other_threads_in_order() -> None:
    async def run() -> list[str]:
        bus = EventBus()
        with bus.subscribe() as subscription:
            await asyncio.to_thread(lambda: [bus.publish(event(f"/{n}")) for n in range(100)])
            return [(await anext(subscription)).topic for _ in range(100)]

    assert asyncio.run(run()) == [f"/{n}" for n in range(100)]


def test_closing_ends_the_iteration_after_what_arrived() -> None:
    async def run() -> list[str]:
        bus = EventBus()
        subscription = bus.subscribe()
        bus.publish(event("/one"))
        await asyncio.sleep(0)
        subscription.close()
        bus.publish(event("/late"))
        return [e.topic async for e in subscription]

    assert asyncio.run(run()) == ["/one"]


def test_who_falls_behind_loses_the_oldest_and_is_told(monkeypatch: object) -> None:
    async def run() -> tuple[str, int]:
        bus = EventBus()
        with bus.subscribe() as subscription:
            for number in range(events.QUEUE_LIMIT + 3):
                bus.publish(event(f"/{number}"))
            await asyncio.sleep(0)
            return (await anext(subscription)).topic, subscription.dropped

    assert asyncio.run(run()) == ("/3", 3)
