"""The daemon on demand, with a program in wherryd's place."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.cli import daemon_start
from wherry.client.endpoint import Endpoint
from wherry.client.failures import ConnectionFailed

SERVES = """
    import os, socket, sys, time
    open({starts!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
    time.sleep(0.2)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind({path!r})
    listener.listen()
    open({pid!r}, "w").write(f"{{os.getpid()}} {{os.getsid(0)}} {{os.getcwd()}}")
    time.sleep(20)
"""
DIES = """
    import sys
    print("cannot open the database: disk full", file=sys.stderr)
    sys.exit(3)
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(daemon_start, "LOG_PATH", str(tmp_path / "wherryd.log"))
    yield tmp_path
    pid = tmp_path / "pid"
    if pid.exists():
        subprocess.run(["kill", "-9", pid.read_text().split()[0]], check=False)


def program(directory: Path, source: str) -> Path:
    """A program that stands for wherryd."""
    facts = {name: str(directory / name) for name in ("starts", "pid")} | {
        "path": str(directory / "run/s.sock")
    }
    path = directory / "bin" / "wherryd"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(source).format(**facts))
    path.chmod(0o755)
    return path


def endpoint(directory: Path) -> Endpoint:
    path = str(directory / "run/s.sock")
    return Endpoint(f"unix://{path}", "unix", path, None, implied=True, context="default")


def start(directory: Path, found: Path) -> bool:
    """`start_daemon` with `found` as the program beside ours."""
    original = daemon_start.daemon_program
    daemon_start.daemon_program = lambda: str(found)
    try:
        return daemon_start.start_daemon(endpoint(directory))
    finally:
        daemon_start.daemon_program = original


def test_a_daemon_is_started_in_a_session_of_its_own_and_ends_when_idle(directory: Path) -> None:
    assert start(directory, program(directory, SERVES))

    pid, session, working_directory = (directory / "pid").read_text().split()
    assert pid == session
    assert working_directory == "/"
    assert (directory / "starts").read_text() == "--idle-exit-s 600\n"


def test_two_commands_at_once_start_one_daemon(directory: Path) -> None:
    found = program(directory, SERVES)
    code = (
        "import sys; from wherry.cli import daemon_start; from wherry.client.endpoint import Endpoint\n"
        "daemon_start.daemon_program = lambda: sys.argv[2]; daemon_start.LOG_PATH = '/dev/null'\n"
        "at = sys.argv[1]\n"
        "endpoint = Endpoint('unix://' + at, 'unix', at, None, implied=True, context='')\n"
        "sys.exit(0 if daemon_start.start_daemon(endpoint) else 1)"
    )
    words = [sys.executable, "-c", code, str(directory / "run/s.sock"), str(found)]
    source = str(Path(__file__).parents[3] / "src")

    both = [subprocess.Popen(words, env={"PYTHONPATH": source}) for _ in range(2)]

    assert [process.wait(timeout=20) for process in both] == [0, 0]
    assert len((directory / "starts").read_text().splitlines()) == 1


def test_a_daemon_that_dies_shows_the_end_of_its_log(directory: Path) -> None:
    with pytest.raises(ConnectionFailed, match="the daemon ended with exit code 3") as caught:
        start(directory, program(directory, DIES))

    assert str(caught.value).endswith("cannot open the database: disk full")


def test_without_the_program_there_is_nothing_to_start(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", "/nonexistent/python3")

    assert not daemon_start.start_daemon(endpoint(directory))
