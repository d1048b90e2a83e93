"""What a start of the program may load, and that the table of commands is whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wherry.cli import commands
from wherry.cli.flags import Flag
from wherry.cli.main import load

SOURCE = Path(__file__).parents[3] / "src"
RATIONED = {
    "argparse", "asyncio", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib",
    "inspect", "json", "logging", "pathlib", "re", "shutil", "signal", "socket", "ssl", "subprocess",
    "tempfile", "threading", "typing", "http.client", "urllib.parse",
}  # fmt: skip
QUICK = [
    ["wherry.cli.container.ls", "wherry.client.api", "wherry.client.endpoint"],
    ["wherry.cli.container.run", "wherry.client.api", "wherry.client.endpoint"],
    ["wherry.cli.container.exec", "wherry.client.api", "wherry.client.endpoint"],
    ["wherry.cli.container.stop", "wherry.client.api", "wherry.client.endpoint"],
]


@pytest.mark.parametrize("modules", QUICK, ids=lambda modules: str(modules[0]))
def test_a_frequent_command_loads_nothing_slow(modules: list[str]) -> None:
    code = f"import sys, wherry.cli.main, {', '.join(modules)}; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {code}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert RATIONED.isdisjoint(loaded)


def test_the_list_of_containers_is_printed_without_the_template_engine() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from wherry.cli.container.record import COLUMNS, ContainerRecord\n"
        "from wherry.cli.records import print_records\n"
        "from wherry.cli.session import Session\n"
        "row = ContainerRecord({'Id': 'a' * 64, 'Image': 'x', 'Names': ['/n']}, whole=False)\n"
        "print_records(Session(), ContainerRecord, [row], '', COLUMNS)\n"
        "print(*sys.modules, file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(SOURCE)], capture_output=True, text=True, check=True
    )

    assert "aaaaaaaaaaaa" in done.stdout
    assert not any("gotemplate" in name for name in done.stderr.split())


@pytest.mark.parametrize("path", sorted(commands.ENTRIES))
def test_every_command_of_the_table_is_there(path: str) -> None:
    command, run = load(commands.ENTRIES[path])

    assert callable(run)
    assert len({flag.name for flag in command.flags}) == len(command.flags)
    shorts = [flag.short for flag in command.flags if flag.short]
    assert len(set(shorts)) == len(shorts)
    visible: list[Flag] = [flag for flag in command.flags if not flag.hidden]
    assert [flag.name for flag in visible] == sorted(flag.name for flag in visible)
    assert all(flag.usage and not flag.usage.endswith(".") for flag in visible if "\n" not in flag.usage)


def test_every_name_at_the_top_level_leads_to_one_command() -> None:
    tops = [entry.top for entry in commands.ENTRIES.values() if entry.top]

    assert len(set(tops)) == len(tops)
    assert not set(tops) & set(commands.GROUPS)
    assert set(commands.COMMON) <= set(tops)
