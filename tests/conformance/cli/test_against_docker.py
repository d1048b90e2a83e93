"""Our command line beside Docker's own, on the same scripted daemon.

The tables are plain files of command lines.  What differs on purpose is listed here with its
reason; a difference that goes away has to leave the list.
"""

# ruff: noqa: E501 — tables, one row a line

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.cli.comparison import DOCKER, compare
from tests.conformance.cli.scripted import routes
from tests.fakes.daemon import FakeDaemon

HERE = Path(__file__).parent
NEWER_TEXT = "the text of Docker 29, where this CLI is older"
NO_BUILDS = "wherry has no build cache yet"
NAME = "names another program"
PRESCAN = "Docker's ps runs the template once on an empty container"
DIFFERENT: dict[str, str] = {
    "ps --format json": "HealthStatus and the order of networks",
    "ps --format '{{json .}}'": "HealthStatus and the order of networks",
    "ps --format 'table {{json .}}'": "HealthStatus and the order of networks",
    "images": "N/A for no date",
    "images -a": "N/A for no date",
    "images --no-trunc": "N/A for no date",
    "images --digests": "N/A for no date",
    "images --format json": "N/A for no date",
    "images nginx": "N/A for no date",
    "inspect nope": NEWER_TEXT,
    "inspect web nope": NEWER_TEXT,
    "volume inspect vol2": "the daemon's order of members",
    "system prune -f": NO_BUILDS,
    "system prune -f --volumes -a": NO_BUILDS,
    "system prune": NO_BUILDS,
    "system prune -a --volumes --filter label=x": NO_BUILDS,
    "start nope": NEWER_TEXT,
    "start nope a busy": NEWER_TEXT,
    "rm -f nope": NEWER_TEXT,
    "port web 443": NEWER_TEXT,
    "port web x": NEWER_TEXT,
    "tag nginx FOO": NEWER_TEXT,
    "run -it good": NEWER_TEXT,
    "exec -it web ls": NEWER_TEXT,
    "info": "names the client's version",
    "info -f '{{.Nope}}'": "the daemon's JSON, not a Go struct",
    "version -f '{{.Server.Version}}'": "the daemon's JSON, not a Go struct",
    "foo": NAME,
    "container foo": NAME,
    "image foo": NAME,
    "system foo": NAME,
    "help": "other commands",
    "help foo": NAME,
    "network": "other commands",
    "volume": "other commands",
    "images a b": "a slip of Docker 28's usage text",
    "volume create a b": "a slip of Docker 28's usage text",
    "version --format '{{'": "the name of the template",
    "-H tcp://1.2.3.4:99999 ps": "refused before a connection is tried",
    "-H unix:///nonexist.sock -c x ps": NEWER_TEXT,
    """ps --format '{{len .ID}} {{slice .ID 1 3}} {{index (split .Names "e") 0}}'""": PRESCAN,
    """ps --format '{{1.5}} {{0x1F}} {{1e3}} {{"a\\tb"}} {{`raw`}} {{true}} {{nil}}'""": PRESCAN,
    "ps --format '{{range .ID}}x{{end}}'": PRESCAN,
    "ps --format 'table {{.ID}} {{.Nope}}'": PRESCAN,
    "ps --format '{{call .ID}}'": "names the Go type of the argument",
    "ps --format '{{split 1 2}}'": "names the Go type of the argument",
}
# Output that Docker's CLI takes from a Go map, and so prints in any order.
UNORDERED = frozenset(("ps --format 'table {{.ID}}\\t{{upper .Names}}\\t{{.CreatedAt}}\\t{{.Networks}}\\t{{.LocalVolumes}}\\t{{.Size}}'",))  # fmt: skip


def table(name: str) -> list[str]:
    """The command lines of a table."""
    return [line for line in (HERE / name).read_text().splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeDaemon]:
    if not os.access(DOCKER, os.X_OK):
        pytest.skip(f"Docker's CLI is not at {DOCKER}")
    with FakeDaemon(tmp_path_factory.mktemp("d") / "s.sock", routes()) as fake:
        yield fake


@pytest.mark.parametrize("line", [*table("outputs.txt"), *table("failures.txt")])
def test_a_command_line_does_what_dockers_does(line: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    theirs, ours = compare(shlex.split(line), daemon.host, tmp_path)

    if line in DIFFERENT:
        assert ours.code == theirs.code or DIFFERENT[line] in (NO_BUILDS, PRESCAN)
        return
    if line in UNORDERED:
        assert sorted(ours.stdout) == sorted(theirs.stdout)
        return
    assert ours == theirs
