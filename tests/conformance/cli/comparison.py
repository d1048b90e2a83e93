"""Runs one command line with Docker's CLI and with ours, against the same daemon.

`compare` gives both outcomes with what differs by design taken out: the program's name.  The
daemon may be the scripted one, a dockerd or a wherryd: both programs get its address in
DOCKER_HOST.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"
DOCKER = os.environ.get("DOCKER_CLI", "/usr/local/bin/docker")
_PROGRAM = (
    f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
    "from wherry.cli.main import main; sys.exit(main(sys.argv[1:]))"
)
OURS = [sys.executable, "-I", "-S", "-c", _PROGRAM]


@dataclass(frozen=True)
class Outcome:
    """What a run left: the two streams and the exit code."""

    stdout: str
    stderr: str
    code: int

    def as_ours(self) -> "Outcome":
        """Docker's outcome with our program's name where Docker's stands."""
        return Outcome(_renamed(self.stdout), _renamed(self.stderr), self.code)


def _renamed(text: str) -> str:
    for before, after in (
        ("docker: ", "wherry: "),
        ("'docker ", "'wherry "),
        ("Usage:  docker", "Usage:  wherry"),
        ("  docker ", "  wherry "),
        (", docker ", ", wherry "),
    ):
        text = text.replace(before, after)
    return text


def run(program: list[str], arguments: list[str], host: str, *, stdin: bytes, home: Path) -> Outcome:
    """One run with an environment of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DOCKER_HOST": host,
        "TZ": "Europe/Berlin",
        "FROM_OUTSIDE": "outer value",
    }
    done = subprocess.run(
        [*program, *arguments],
        input=stdin,
        capture_output=True,
        env=environment,
        cwd=home,
        timeout=30,
        check=False,
    )
    return Outcome(
        done.stdout.decode("utf-8", "surrogateescape"),
        done.stderr.decode("utf-8", "surrogateescape"),
        done.returncode,
    )


def compare(arguments: list[str], host: str, home: Path, *, stdin: bytes = b"") -> tuple[Outcome, Outcome]:
    """Docker's outcome, in our name, and ours."""
    theirs = run([DOCKER], arguments, host, stdin=stdin, home=home).as_ours()
    ours = run(OURS, arguments, host, stdin=stdin, home=home)
    return theirs, ours
