"""What a container finds of the processes that made it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.tasks.bench import Bench, run

from wherry.errors import WherryError

PROCESS: dict[str, Any] = {"cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
# For every new process: open its program for writing, as in CVE-2019-5736.
OVERWRITE = """
trap 'echo wrote=$wrote; exit 0' TERM
wrote=no
while :; do
  for pid in /proc/[0-9]*; do
    case $pid in /proc/1|/proc/self) continue;; esac
    if (exec 3<$pid/exe; echo x >>/proc/self/fd/3) 2>/dev/null; then wrote=yes; fi
  done
done
"""


async def output_of(bench: Bench, *args: str, **options: Any) -> str:
    task = await bench.create(*args, **options)
    client = bench.client()
    await client.attach(task)
    await task.start()
    return (await client.read_all()).decode()


async def exec_output(bench: Bench, task: Any, exec_id: str, process: dict[str, Any]) -> str:
    await task.create_exec(exec_id, process)
    client = bench.client()
    await client.attach(task, exec_id=exec_id)
    await task.start_exec(exec_id)
    return (await client.read_all()).decode()


def test_a_program_has_its_three_streams_and_no_other_descriptor(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            shown = await output_of(bench, "ls", "/proc/self/fd")
            assert shown.split() == ["0", "1", "2", "3"]  # 3 is the directory that ls reads

            task = await bench.start("sleep", "1000")
            shown = await exec_output(bench, task, "e", PROCESS | {"args": ["ls", "/proc/self/fd"]})
            assert shown.split() == ["0", "1", "2", "3"]
            for pid in (await task.pids())[:1]:
                assert os.readlink(f"/proc/{pid}/cwd") == "/"

    run(test)


@pytest.mark.parametrize("where", ["/proc/self/fd/%d", "/proc/1/cwd/../..", "/proc/thread-self/fd/%d/.."])
def test_a_working_directory_is_never_one_of_ours(bench: Bench, where: str) -> None:
    async def test() -> None:
        async with bench:
            canary = bench.path / "canary"
            canary.write_text("host")
            climb = "cat " + "../" * 20 + str(canary).lstrip("/")
            task = await bench.start("sleep", "1000")
            for number in range(3, 24):
                cwd = where % number if "%" in where else where
                process = PROCESS | {"args": ["sh", "-c", f"{climb} 2>/dev/null"], "cwd": cwd}
                try:
                    assert "host" not in await exec_output(bench, task, f"e{number}", process)
                except WherryError:
                    pass  # refused, which is as good

    run(test)


def test_the_interpreter_cannot_be_overwritten_from_inside(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            interpreter = Path(os.path.realpath(sys.executable))
            before = hashlib.sha256(interpreter.read_bytes()).digest()
            task = await bench.create("sh", "-c", OVERWRITE)
            client = bench.client()
            await client.attach(task)
            await task.start()

            for number in range(20):
                await task.create_exec(f"e{number}", PROCESS | {"args": ["true"]})
                await task.start_exec(f"e{number}")
                await task.exec_exited(f"e{number}")
            await task.kill(15)

            assert await client.read_all() == b"wrote=no\n"
            assert hashlib.sha256(interpreter.read_bytes()).digest() == before

    run(test)


def test_spawner_and_shims_run_from_a_read_only_copy(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            await bench.start("sleep", "1000")
            children = Path(f"/proc/{bench.service.spawner_pid}/task/{bench.service.spawner_pid}/children")
            for pid in (bench.service.spawner_pid, *map(int, children.read_text().split())):
                # Not by an open for writing: while it runs that fails in any case (ETXTBSY).
                assert os.statvfs(f"/proc/{pid}/exe").f_flag & os.ST_RDONLY

    run(test)


def test_a_shim_holds_what_it_needs_and_nothing_of_the_spawner(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            first = await bench.start("sleep", "1000", log=True)
            second = await bench.start("sleep", "1000", log=True)
            await asyncio.sleep(0.05)
            pids = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_shim(int(pid), second.id)]

            assert len(pids) == 1
            targets = [os.readlink(f"/proc/{pids[0]}/fd/{fd}") for fd in os.listdir(f"/proc/{pids[0]}/fd")]
            assert not [target for target in targets if first.id in target]
            assert len([target for target in targets if not target.startswith("/sys/fs/cgroup")]) <= 16, (
                targets
            )

    run(test)


def is_shim(pid: int, task_id: str) -> bool:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
        return title == f"wherry-shim test/{task_id}".encode()
    except OSError:
        return False


def test_no_socket_of_ours_has_an_abstract_name(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            shown = await output_of(bench, "cat", "/proc/net/unix", host_namespaces=["network"])

            assert "@" not in "".join(
                line for line in shown.splitlines() if "wherry" in line or bench.parent in line
            )

    run(test)
