"""A day's work with both command lines on one wherryd: same steps, same output, same exit codes.

Docker's CLI and ours run each story from start to end, one after the other, with the same names.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.cli.comparison import DOCKER, OURS, SOURCE, Outcome, run

STORIES = {
    "output and exit codes": [
        "run --rm --network none busybox echo hi",
        "run --rm --network none busybox sh -c 'echo out; echo err >&2; exit 7'",
        "run --rm --network none busybox sh -c 'kill -9 $$'",
        "run --rm --network none busybox nope",
        "run --rm --network none busybox /etc",
        "run --rm --network none busybox /etc/passwd",
        "run --rm --network none -e A=b -w /tmp -u 1000 -h me busybox sh -c 'echo $A; pwd; id -u; hostname'",
        "run --rm --network none --read-only busybox touch /x",
        "run --rm --network none --entrypoint cat busybox /etc/group",
        "run --rm --network none --tmpfs /t:size=1m -v /etc:/host:ro busybox touch /host/x",
        "run --rm --network none nosuchimage:there",
        "run --rm --pull never nosuchimage:there",
    ],
    "input": [
        "run -i --rm --network none busybox cat",
        "run -i --rm --network none busybox wc -c",
        "run --rm --network none busybox cat",
    ],
    "a container's life": [
        "create --name story --network none busybox sh -c 'echo started; exec sleep 1000'",
        "create --name story --network none busybox",
        "ps -a --filter name=story --format '{{.Names}} {{.State}} {{.Command}}'",
        "start story",
        "start story",
        "exec story echo inside",
        "exec story sh -c 'exit 3'",
        "exec -i story cat",
        "exec story nope",
        "exec -d story true",
        "logs story",
        "inspect -f '{{.State.Status}} {{.Config.Cmd}} {{.HostConfig.NetworkMode}} {{.State.Running}}' story",
        "rm story",
        "pause story",
        "ps --filter name=story --format '{{.State}}'",
        "exec story true",
        "unpause story",
        "rename story tale",
        "inspect story",
        "stop -t 0 tale",
        "inspect -f '{{.State.ExitCode}}' tale",
        "exec tale true",
        "kill tale",
        "wait tale",
        "attach tale",
        "restart -t 0 tale",
        "kill -s KILL tale",
        "wait tale",
        "rm tale",
        "rm tale",
    ],
    "images and volumes": [
        "images --format '{{.Repository}}:{{.Tag}} {{.ID}}'",
        "tag busybox story/one:two",
        "images -q story/one",
        "rmi story/one:two",
        "rmi nosuch",
        "tag nosuch a",
        "inspect -f '{{.Config.Cmd}} {{.Architecture}} {{len .RootFS.Layers}}' busybox",
        "volume create story",
        "volume ls -q",
        "volume inspect -f '{{.Name}} {{.Driver}}' story",
        "run --rm --network none -v story:/v busybox sh -c 'echo kept > /v/file'",
        "run --rm --network none -v story:/v busybox cat /v/file",
        "volume rm story",
        "volume rm story",
        "network ls --format '{{.Name}} {{.Driver}}'",
    ],
}
# Steps whose words differ between Docker 28 and 29, or name the program; the exit code must agree.
CODE_ONLY = (
    "run --rm --network none nosuchimage:there",
    "rm tale",
    "attach tale",
    "inspect story",
    "tag nosuch a",
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A wherryd of its own, with busybox in it."""
    if os.geteuid() != 0:
        pytest.skip("containers need root")
    if not os.access(DOCKER, os.X_OK):
        pytest.skip(f"Docker's CLI is not at {DOCKER}")
    root = tmp_path_factory.mktemp("daemon")
    address = f"unix://{root}/s.sock"
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
    code += "from wherry.daemon.main import main; main(sys.argv[1:])"
    words = [
        "-H",
        address,
        "--data-root",
        f"{root}/data",
        "--exec-root",
        f"{root}/exec",
        "--pidfile",
        f"{root}/pid",
    ]
    with (root / "log").open("wb") as log:
        daemon = subprocess.Popen([sys.executable, "-c", code, *words], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not (root / "s.sock").exists():
            assert daemon.poll() is None, (root / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        made = run(OURS, ["image", "bootstrap", "-q", "busybox"], address, stdin=b"", home=root)
        assert made.code == 0, made
        yield address
    finally:
        run(OURS, ["rm", "-f", "story", "tale"], address, stdin=b"", home=root)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=30)


@pytest.mark.parametrize("story", STORIES)
def test_both_command_lines_tell_the_same_story(story: str, host: str, tmp_path: Path) -> None:
    told = []
    for program in ([DOCKER], OURS):
        outcomes = [
            run(program, shlex.split(step), host, stdin=b"typed\n", home=tmp_path) for step in STORIES[story]
        ]
        told.append([normalized(o.as_ours() if program == [DOCKER] else o) for o in outcomes])

    for step, theirs, ours in zip(STORIES[story], *told, strict=True):
        assert (step, ours.code) == (step, theirs.code), (theirs, ours)
        if step not in CODE_ONLY:
            assert (step, ours) == (step, theirs)


def normalized(outcome: Outcome) -> Outcome:
    """Without the ids, which differ from run to run."""
    hide = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b")
    return Outcome(hide.sub("ID", outcome.stdout), hide.sub("ID", outcome.stderr), outcome.code)
