"""What of ps's output is a container's."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.unit.engine.conftest import Lab, actions, make

from wherry.api.errors import status_of
from wherry.engine.containers.start import start_container
from wherry.engine.containers.top import ListingFailed, parse_ps, ps_words, top_container
from wherry.errors import Conflict, InvalidArgument, NotFound


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ["-ef"]),
        ("  ", ["-ef"]),
        ("aux", ["aux"]),
        ("-o  pid,cmd", ["-o", "pid,cmd"]),
        ("-o pid=PID2", ["-o", "pid=PID2"]),
        ("-o $(id);`id`", ["-o", "$(id);`id`"]),
    ],
)
def test_words_are_handed_on_one_by_one(arguments: str, words: list[str]) -> None:
    assert ps_words(arguments) == words


@pytest.mark.parametrize(
    "arguments",
    [
        "-o ppid=PID",
        "-o uid=PID",
        "-o user=PIDs",
        "-o cmd,uid=PID",
        "-o ppid=  PID",
        "--format=uid=PID",
        "-ouid=PID",
    ],
)
def test_no_other_column_may_be_called_pid(arguments: str) -> None:
    with pytest.raises(ListingFailed, match="is not allowed") as failure:
        ps_words(arguments)

    assert status_of(failure.value) == 500


def test_a_character_that_no_word_has_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="invalid arguments for ps"):
        ps_words("-ef\0")


def test_lines_are_kept_by_process_id() -> None:
    output = "UID  PID CMD\nroot 1 init\nroot 12 sleep 5  9\nann 2 12 12\n\n"

    assert parse_ps(output, {12}) == (["UID", "PID", "CMD"], [["root", "12", "sleep 5  9"]])


def test_threads_follow_their_process() -> None:
    output = "PID LWP\n1 -\n- 1\n12 -\n- 12\n- 13\n2 -\n- 2\n"

    assert parse_ps(output, {12})[1] == [["12", "-"], ["-", "12"], ["-", "13"]]


@pytest.mark.parametrize("output", ["", "UID CMD\nroot x\n", "UID PID\nroot x\n", "UID PID\nroot\n"])
def test_output_without_process_ids_is_refused(output: str) -> None:
    with pytest.raises(ListingFailed):
        parse_ps(output, {1})


def test_the_hosts_ps_shows_the_tasks_processes(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            await make(engine)
            with pytest.raises(Conflict, match="is not running"):
                await top_container(engine, "box")
            await start_container(engine, "box")
            lab.task(engine).pid = os.getpid()

            full = await top_container(engine, "box")
            chosen = await top_container(engine, "box", "-o pid,ppid")

            assert [line[full["Titles"].index("PID")] for line in full["Processes"]] == [str(os.getpid())]
            assert chosen == {"Titles": ["PID", "PPID"], "Processes": [[str(os.getpid()), str(os.getppid())]]}
            assert actions(engine)[-2:] == ["top", "top"]
            with pytest.raises(ListingFailed, match=r"^ps: error: ") as failure:
                await top_container(engine, "box", "--no-such-option")
            assert status_of(failure.value) == 500
            with pytest.raises(NotFound):
                await top_container(engine, "nope")

    asyncio.run(scenario())
