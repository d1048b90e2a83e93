"""Attaching, executing and reading logs, on real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest
from tests.integration.engine.conftest import Roots, actions, create, output

from wherry.api.types import ExecConfig, ExecStartRequest
from wherry.engine.containers.attach import attach_container
from wherry.engine.containers.logs import container_logs
from wherry.engine.containers.pause import pause_container
from wherry.engine.containers.start import start_container
from wherry.engine.containers.stop import stop_container
from wherry.engine.containers.wait import wait_container
from wherry.engine.engine import Engine
from wherry.engine.exec.create import create_exec
from wherry.engine.exec.inspect import inspect_exec
from wherry.engine.exec.resize import resize_exec
from wherry.engine.exec.start import start_exec
from wherry.errors import Conflict, InvalidArgument, NotFound


class Client:
    """A client's end of a connection whose other end was handed to the engine."""

    def __init__(self, attachment: Any, leftover: bytes = b"") -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        self.done = asyncio.ensure_future(attachment.connect(theirs.detach(), leftover))

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read_all(self) -> bytes:
        """Everything until the engine ends the connection."""
        parts = []
        async with asyncio.timeout(20):
            while part := await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16):
                parts.append(part)
            await self.done
        self.socket.close()
        return b"".join(parts)

    async def read_until(self, wanted: bytes) -> bytes:
        data = b""
        async with asyncio.timeout(20):
            while wanted not in data:
                part = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16)
                assert part, data
                data += part
        return data


def frames(data: bytes) -> list[tuple[int, bytes]]:
    found, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "big")
        found.append((data[position], data[position + 8 : position + 8 + size]))
        position += 8 + size
    return found


async def attach(engine: Engine, **options: Any) -> Any:
    wanted = {"stream": True, "logs": False, "stdin": True, "stdout": True, "stderr": True} | options
    return await attach_container(engine, "box", **wanted)


async def execute(engine: Engine, *cmd: str, detach: bool = False, **config: Any) -> tuple[str, Any]:
    streams = {"attach_stdout": True, "attach_stderr": True} | config
    created = await create_exec(engine, "box", ExecConfig(cmd=list(cmd), **streams))
    return created["Id"], await start_exec(engine, created["Id"], ExecStartRequest(detach=detach))


async def running(engine: Engine, *cmd: str, **config: Any) -> None:
    await create(engine, *(cmd or ("sleep", "60")), **config)
    await start_container(engine, "box")


class TestAttach:
    def test_an_attach_before_the_start_gets_every_byte(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                script = "cat; echo err >&2; exit 4"
                await create(engine, "sh", "-c", script, open_stdin=True, stdin_once=True)
                client = Client(await attach(engine), b"early ")
                await client.send(b"late")
                client.socket.shutdown(socket.SHUT_WR)
                await asyncio.sleep(0)
                waiter = await wait_container(engine, "box", condition="next-exit")

                await start_container(engine, "box")

                received = frames(await client.read_all())
                assert b"".join(data for stream, data in received if stream == 1) == b"early late"
                assert b"".join(data for stream, data in received if stream == 2) == b"err\n"
                assert (await waiter)["StatusCode"] == 4
                assert actions(engine)[:3] == ["create", "attach", "start"]

        asyncio.run(scenario())

    def test_half_a_million_lines_come_through_unchanged(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "cat", open_stdin=True, stdin_once=True)
                client = Client(await attach(engine))
                await asyncio.sleep(0)
                await start_container(engine, "box")
                sent = os.urandom(4 << 20)

                async def send() -> None:
                    await client.send(sent)
                    client.socket.shutdown(socket.SHUT_WR)

                sender = asyncio.ensure_future(send())
                received = await client.read_all()
                await sender

                assert b"".join(data for _, data in frames(received)) == sent

        asyncio.run(scenario())

    def test_a_terminal_is_detached_by_its_keys(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine, "sh", tty=True, open_stdin=True)
                client = Client(await attach(engine, detach_keys="ctrl-x,q"))
                await client.send(b"echo $((40+2))\n")
                await client.read_until(b"42")

                await client.send(b"\x18q")

                await client.read_all()
                assert actions(engine)[-1] == "detach"
                assert engine.containers.find("box").record.running

        asyncio.run(scenario())

    def test_logs_are_replayed_first(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine, "sh", "-c", "echo one; sleep 0.5; echo two")
                await asyncio.sleep(0.2)

                client = Client(await attach(engine, logs=True, stdin=False))

                assert frames(await client.read_all()) == [(1, b"one\n"), (1, b"two\n")]

        asyncio.run(scenario())

    def test_a_client_that_leaves_before_the_start_is_forgotten(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await create(engine, "true")
                client = Client(await attach(engine))
                client.socket.close()

                async with asyncio.timeout(10):
                    await client.done

                assert not engine.containers.find("box").pending

        asyncio.run(scenario())

    def test_refusals(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine)
                with pytest.raises(InvalidArgument, match="Invalid detach keys"):
                    await attach(engine, detach_keys="ctrl-")
                await pause_container(engine, "box")
                with pytest.raises(
                    Conflict, match=r"^container box is paused, unpause the container before attach$"
                ):
                    await attach(engine)

        asyncio.run(scenario())


class TestExec:
    def test_streams_and_exit_code(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine)
                exec_id, attachment = await execute(
                    engine,
                    "sh",
                    "-c",
                    "cat; echo $A; id -u; exit 7",
                    attach_stdin=True,
                    env=["A=b"],
                    user="bob",
                )
                client = Client(attachment, b"in\n")
                client.socket.shutdown(socket.SHUT_WR)

                received = await client.read_all()

                assert b"".join(data for _, data in frames(received)) == b"in\nb\n1000\n"
                shown = await inspect_exec(engine, exec_id)
                assert (shown["Running"], shown["ExitCode"]) == (False, 7)
                assert [a.partition(":")[0] for a in actions(engine)][2:] == [
                    "exec_create",
                    "exec_start",
                    "exec_die",
                ]

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("command", "code", "text"),
        [("nope", 127, b"executable file not found in $PATH\r\n"), ("/etc", 126, b"permission denied\r\n")],
    )
    def test_a_failed_start_is_told_in_the_stream(
        self, roots: Roots, command: str, code: int, text: bytes
    ) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine)
                exec_id, attachment = await execute(engine, command)

                [(stream, message)] = frames(await Client(attachment).read_all())

                assert stream == 1
                assert message.startswith(
                    b"OCI runtime exec failed: exec failed: unable to start container process: "
                )
                assert message.endswith(text)
                assert (await inspect_exec(engine, exec_id))["ExitCode"] == code

        asyncio.run(scenario())

    def test_a_failed_detached_start_is_an_error(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine)
                with pytest.raises(InvalidArgument, match="OCI runtime exec failed"):
                    await execute(engine, "nope", detach=True)

        asyncio.run(scenario())

    def test_it_runs_once_and_only_in_a_running_container(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine)
                exec_id, _ = await execute(engine, "sleep", "60", detach=True)
                with pytest.raises(Conflict, match=f"^exec command {exec_id} is already running$"):
                    await start_exec(engine, exec_id, ExecStartRequest())
                with pytest.raises(NotFound, match=r"^No such exec instance: nope$"):
                    await inspect_exec(engine, "nope")
                with pytest.raises(InvalidArgument, match=r"^No exec command specified$"):
                    await create_exec(engine, "box", ExecConfig())

                await stop_container(engine, "box", timeout_s=0)

                with pytest.raises(Conflict, match=r"^container [0-9a-f]{64} is not running$"):
                    await create_exec(engine, "box", ExecConfig(cmd=["true"]))

        asyncio.run(scenario())

    def test_a_terminal_has_the_size_it_was_given(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine)
                exec_id, attachment = await execute(
                    engine, "sh", tty=True, attach_stdin=True, console_size=(33, 99)
                )
                client = Client(attachment)
                await client.send(b"stty size\n")
                await client.read_until(b"33 99")

                await resize_exec(engine, exec_id, 44, 55)

                await client.send(b"stty size; exit\n")
                assert b"44 55" in await client.read_all()

        asyncio.run(scenario())

    def test_privileges_of_an_exec(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine)
                _, attachment = await execute(engine, "cat", "/proc/self/status")
                plain = await Client(attachment).read_all()
                _, attachment = await execute(engine, "cat", "/proc/self/status", privileged=True)
                privileged = await Client(attachment).read_all()

                assert b"CapEff:\t00000000a80425fb" in plain
                assert b"Seccomp:\t2" in plain
                assert b"CapEff:\t00000000a80425fb" not in privileged

        asyncio.run(scenario())


class TestLogs:
    def test_following_ends_with_the_container(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine, "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
                logs = await container_logs(engine, "box", follow=True, timestamps=True)

                async with asyncio.timeout(20):
                    data = b"".join([piece async for piece in logs.chunks])

                lines = [text.split(b" ") for _, text in frames(data)]
                assert [line[1] for line in lines] == [b"1\n", b"2\n", b"3\n"]
                assert all(len(line[0]) == 30 and line[0].endswith(b"Z") for line in lines)

        asyncio.run(scenario())

    def test_tail_and_streams(self, roots: Roots) -> None:
        async def scenario() -> None:
            async with roots.engine() as engine:
                await running(engine, "sh", "-c", "seq 5; echo e >&2")
                await engine.containers.find("box").exit_handled.wait()

                logs = await container_logs(engine, "box", tail="2", stderr=False)

                assert frames(b"".join([piece async for piece in logs.chunks])) == [(1, b"5\n")]
                assert await output(engine, "box") == "1\n2\n3\n4\n5\ne\n"

        asyncio.run(scenario())
