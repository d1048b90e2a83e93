"""Every example runs on an engine of its own, says what it should, and leaves nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon import CHECKOUT, SEARCH_PATH, TIME_FACTOR, Daemon

EXAMPLES = CHECKOUT / "examples"
EXPECTED = {
    "shell/limits.sh": """\
memory: 67108864
processes: 50
capabilities: 0000000000000001
root: read-only
greedy: exit 137
greedy: out of memory true
""",
    "shell/volumes.sh": """\
volume: kept
bind: from the host
bind: read-only
tmpfs: 1024 KiB
""",
    "shell/exec.sh": """\
exec: hello from /tmp
stdin: 2
status: 3
exit: 0
log: started
log: bye
""",
    "python/containers.py": """\
run: hi
exec: 3 out err
line: 1
line: 2
line: 3
failed: 7
""",
    "api/run.sh": """\
{"StatusCode":3}
hi from harbour
""",
    "runtime/bundle.sh": """\
state: created
exec: inside
state: stopped
hello from PID 1 of wherry
""",
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon() as daemon:
        daemon.wherry("image", "bootstrap", "busybox")
        yield daemon


def run(name: str, daemon: Daemon) -> subprocess.CompletedProcess[str]:
    path = EXAMPLES / name
    program = [sys.executable, str(path)] if path.suffix == ".py" else ["sh", str(path)]
    environment = {
        "PATH": SEARCH_PATH,
        "HOME": str(daemon.root),
        "DOCKER_HOST": daemon.host,
        "TMPDIR": str(daemon.root),
        "LANG": "C.UTF-8",
    }
    return subprocess.run(
        program, env=environment, cwd=daemon.root, capture_output=True, text=True, timeout=120 * TIME_FACTOR
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_says_what_it_should_and_removes_what_it_makes(name: str, daemon: Daemon) -> None:
    before = set(os.listdir(daemon.root))

    done = run(name, daemon)

    assert done.returncode == 0, done.stderr
    assert done.stdout.replace("\r\n", "\n") == EXPECTED[name], done.stderr
    assert daemon.client("ps", "-aq").stdout == b""
    assert daemon.client("volume", "ls", "-q").stdout == b""
    assert set(os.listdir(daemon.root)) == before


def test_every_example_is_run_and_listed() -> None:
    programs = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*") if path.is_file()}
    listed = set(re.findall(r"\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text()))

    assert programs == set(EXPECTED) == listed


def test_a_shell_example_can_be_started_by_its_name() -> None:
    for path in EXAMPLES.glob("*/*.sh"):
        assert os.access(path, os.X_OK), path
        assert Path(path).read_text().startswith("#!/bin/sh\n"), path
