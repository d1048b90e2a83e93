"""Conversations with a peer that answers late, out of order, wrongly, or not at all."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wherry.core.tasks import StartFailed
from wherry.core.tasks.connection import Connection
from wherry.errors import NotFound, Unavailable
from wherry.shim import protocol


class Stage:
    def __init__(self) -> None:
        ours, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.messages: list[dict[str, Any]] = []
        self.ends = 0
        self.connection = Connection(ours, peer="shim", on_message=self._message, on_end=self._end)

    def _message(self, message: dict[str, Any], fds: list[int]) -> None:
        assert not fds
        self.messages.append(message)

    def _end(self) -> None:
        self.ends += 1

    async def next_call(self) -> dict[str, Any]:
        while True:
            try:
                received = protocol.receive(self.peer, flags=socket.MSG_DONTWAIT)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            assert received is not None
            for fd in received[1]:
                os.close(fd)
            return received[0]


def on_stage(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        stage = Stage()
        with stage.peer:
            await test(stage)
        stage.connection.close()

    asyncio.run(asyncio.wait_for(whole(), 10))


def test_the_end_fails_every_call_and_is_told_once() -> None:
    async def test(stage: Stage) -> None:
        calls = [asyncio.ensure_future(stage.connection.call("pids")) for _ in range(2)]
        await stage.next_call()
        stage.peer.close()

        for call in calls:
            with pytest.raises(Unavailable, match="the shim is gone"):
                await call
        with pytest.raises(Unavailable):
            await stage.connection.call("pids")
        assert (stage.ends, stage.connection.ended) == (1, True)

    on_stage(test)


def test_an_answer_to_a_cancelled_call_is_dropped_with_its_descriptors() -> None:
    async def test(stage: Stage) -> None:
        call = asyncio.ensure_future(stage.connection.call("rootfs"))
        asked = await stage.next_call()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        before = len(os.listdir("/proc/self/fd"))

        protocol.send(stage.peer, {"reply": asked["serial"]}, [0])
        protocol.send(stage.peer, {"event": "released"})
        while not stage.messages:
            await asyncio.sleep(0)

        assert len(os.listdir("/proc/self/fd")) == before

    on_stage(test)


def test_nonsense_ends_the_conversation() -> None:
    async def test(stage: Stage) -> None:
        call = asyncio.ensure_future(stage.connection.call("pids"))
        await stage.next_call()

        stage.peer.send(b"{")

        with pytest.raises(Unavailable):
            await call
        assert stage.ends == 1

    on_stage(test)


def test_a_failure_keeps_its_kind_text_and_exit_code() -> None:
    async def test(stage: Stage) -> None:
        for wire, kind in (
            ({"kind": "NotFound", "message": "exec e not found"}, NotFound),
            ({"kind": "WherryError", "message": "no such file", "exit_code": 127}, StartFailed),
        ):
            call = asyncio.ensure_future(stage.connection.call("start_exec"))
            asked = await stage.next_call()
            protocol.send(stage.peer, {"reply": asked["serial"], "error": wire})

            with pytest.raises(kind, match=str(wire["message"])) as failure:
                await call

            assert getattr(failure.value, "exit_code", None) == wire.get("exit_code")

    on_stage(test)


def test_answers_find_their_calls_in_any_order() -> None:
    async def test(stage: Stage) -> None:
        calls = [asyncio.ensure_future(stage.connection.call("pids", n=n)) for n in range(3)]
        asked = [await stage.next_call() for _ in calls]
        for each in reversed(asked):
            protocol.send(stage.peer, {"reply": each["serial"], "pids": [each["n"]]})

        assert [(await call)["pids"] for call in calls] == [[0], [1], [2]]

    on_stage(test)


def test_a_peer_that_does_not_read_gets_everything_later() -> None:
    async def test(stage: Stage) -> None:
        calls = [asyncio.ensure_future(stage.connection.call("update", [0], n=n)) for n in range(2000)]
        await asyncio.sleep(0)

        numbers = [(await stage.next_call())["n"] for _ in calls]

        assert numbers == list(range(2000))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    on_stage(test)
