"""What our command line asks of the daemon, beside what Docker's asks."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.cli.comparison import DOCKER, OURS, run
from tests.conformance.cli.scripted import routes
from tests.conformance.cli.test_against_docker import table
from tests.fakes.daemon import FakeDaemon, Request

# Members where the two differ on purpose: what Docker's CLI always sends and means nothing.
MEANINGLESS = {"ConsoleSize": [0, 0], "MemorySwappiness": -1, "Detach": True}
DIFFERENT = {
    "create --disable-content-trust=false good": "asks a notary; we refuse",
    "create --mount '' good": "another text",
    "run -a stdin -i good": "the scripted daemon sends output nobody attached to",
    "stop --time 4 web": "says that the flag is deprecated, on standard output",
    "run -d --rm good": "waits although nobody looks",
    "run -d -it good": "waits although nobody looks",
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    if not os.access(DOCKER, os.X_OK):
        pytest.skip(f"Docker's CLI is not at {DOCKER}")
    with FakeDaemon(tmp_path / "s.sock", routes()) as fake:
        yield fake


@pytest.mark.parametrize("line", table("requests.txt"))
def test_a_command_line_asks_what_dockers_asks(line: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    home = tmp_path / "home"
    asked = []

    for program in ([DOCKER], OURS):
        home.mkdir()
        write_files(home)
        daemon.requests.clear()
        outcome = run(program, shlex.split(line), daemon.host, stdin=b"", home=home)
        asked.append((changes(daemon.requests), (outcome.as_ours() if program == [DOCKER] else outcome)))
        shutil.rmtree(home)

    (theirs, their_outcome), (ours, our_outcome) = asked
    if line in DIFFERENT:
        return
    assert ours == theirs
    assert our_outcome == their_outcome


def write_files(home: Path) -> None:
    """The files that command lines of the table name."""
    (home / "env").write_text("# c\nA=1\n\nB=two words\nFROM_OUTSIDE\nNOTSET\nC='q'\n")
    (home / "lab").write_text("x=1\ny\n")
    (home / "sec.json").write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')


def changes(requests: list[Request]) -> list[tuple[str, list[str], object]]:
    """The requests that change something, in a form that can be compared."""
    shown = []
    for request in requests:
        if request.method == "GET" or request.path in ("/_ping", "/info"):
            continue
        body: object = request.body
        if request.body[:1] == b"{":
            body = meaning(json.loads(request.body))
        query = sorted(request.query.replace("+", "%20").split("&"))
        shown.append((f"{request.method} {request.path}", [meaning_of_query(part) for part in query], body))
    return sorted(shown, key=lambda entry: entry[0])


def meaning_of_query(part: str) -> str:
    """A parameter; JSON in it is compared whatever the order of its keys."""
    return "".join(sorted(part)) if "%7B" in part else part


def meaning(value: object, name: str = "") -> object:
    """A body without members that are empty, and lists of Go maps in one order."""
    if isinstance(value, dict):
        members = {key: meaning(item, key) for key, item in value.items() if MEANINGLESS.get(key) != item}
        return {key: item for key, item in members.items() if item not in (None, "", 0, False, [], {})}
    if isinstance(value, list):
        items = [meaning(item) for item in value]
        return sorted(items, key=str) if name in ("Env", "Binds") else items
    return value
