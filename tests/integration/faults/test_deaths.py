"""Deaths at no particular step: who goes on, who is told, and what stays."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon import SEARCH_PATH, TIME_FACTOR, Daemon
from tests.integration.faults.images import push_unique
from tests.integration.faults.world import NONE
from tests.registry import Registry

from wherry.linux import mount

COUNT = "i=0; while [ $i -lt %d ]; do i=$((i+1)); echo $i; done"
PACED = "i=0; while :; do i=$((i+1)); echo $i; [ $((i%20)) = 0 ] && sleep 0.01; [ -e /stop ] && exit; done"
DEADLINE_S = 30


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon() as daemon:
        daemon.import_busybox()
        yield daemon


def ask(daemon: Daemon, method: str, path: str, body: object = None) -> Any:
    """One request to the API; the decoded answer."""
    connection = http.client.HTTPConnection("d")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(daemon.socket))
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, body=json.dumps(body or {}), headers=headers)
        data = connection.getresponse().read()
        return json.loads(data) if data else None
    finally:
        connection.close()


def start_client(daemon: Daemon, *args: str, program: str = "docker") -> subprocess.Popen[bytes]:
    """A client that runs on beside the test, its input held open."""
    env = {"PATH": SEARCH_PATH, "HOME": str(daemon.root), "DOCKER_HOST": daemon.host, "LANG": "C.UTF-8"}
    pipe = subprocess.PIPE
    return subprocess.Popen([program, *args], env=env, stdin=pipe, stdout=pipe, stderr=pipe)


either_client = pytest.mark.parametrize("program", ["docker", "wherry"])


def pid_of(daemon: Daemon, name: str) -> int:
    return int(daemon.client("inspect", "-f", "{{.State.Pid}}", name).stdout)


def shim_of(daemon: Daemon, name: str) -> int:
    name = daemon.client("inspect", "-f", "{{.Id}}", name).stdout.decode().strip()
    record = daemon.root / "exec/tasks/moby" / name / "record.json"
    return int(json.loads(record.read_bytes())["shim_pid"])


def spawner_of(daemon: Daemon) -> int:
    assert daemon.process
    pid = daemon.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (spawner,) = [int(c) for c in children if b"wherry-spawner" in Path(f"/proc/{c}/cmdline").read_bytes()]
    return spawner


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S * TIME_FACTOR
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_daemon_and_spawner(daemon: Daemon) -> None:
    spawner = spawner_of(daemon)
    daemon.kill()
    try:
        os.kill(spawner, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ends with its daemon


def test_an_execs_exit_code_arrives_although_daemon_and_spawner_died(daemon: Daemon) -> None:
    daemon.client("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "600")
    command = ["sh", "-c", "touch /in-$$; until [ -e /go ]; do sleep 0.05; done; echo through; exit 23"]
    detached = ask(daemon, "POST", "/containers/box/exec", {"Cmd": command})["Id"]
    ask(daemon, "POST", f"/exec/{detached}/start", {"Detach": True})
    attached = start_client(daemon, "exec", "box", *command)
    init = pid_of(daemon, "box")
    wait_until(lambda: len(list(Path(f"/proc/{init}/root").glob("in-*"))) == 2)

    kill_daemon_and_spawner(daemon)
    Path(f"/proc/{init}/root/go").touch()
    time.sleep(0.3)  # both end while there is nobody to tell
    daemon.start()

    wait_until(lambda: not ask(daemon, "GET", f"/exec/{detached}/json")["Running"])
    assert ask(daemon, "GET", f"/exec/{detached}/json")["ExitCode"] == 23
    out, _ = attached.communicate(timeout=DEADLINE_S)
    assert out == b"through\n"


@either_client
def test_a_client_of_an_exec_sees_its_code_through_a_restart_of_the_daemon(
    daemon: Daemon, program: str
) -> None:
    daemon.client("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "600")
    script = "echo in; until [ -e /go ]; do sleep 0.05; done; echo out; exit 23"
    client = start_client(daemon, "exec", "box", "sh", "-c", script, program=program)
    assert client.stdout is not None
    assert client.stdout.read(3) == b"in\n"
    init = pid_of(daemon, "box")

    kill_daemon_and_spawner(daemon)
    daemon.start()
    Path(f"/proc/{init}/root/go").touch()

    out, err = client.communicate(timeout=DEADLINE_S)
    assert (out, err, client.returncode) == (b"out\n", b"", 23)


def test_no_line_is_lost_while_daemons_come_and_go(daemon: Daemon) -> None:
    daemon.client("run", "-d", "--name", "box", *NONE, "busybox", "sh", "-c", PACED)
    init = pid_of(daemon, "box")

    for end in (daemon.kill, daemon.terminate, lambda: kill_daemon_and_spawner(daemon)):
        time.sleep(0.2)
        end()
        time.sleep(0.2)
        daemon.start()
    assert pid_of(daemon, "box") == init
    Path(f"/proc/{init}/root/stop").touch()
    daemon.client("wait", "box")

    lines = daemon.client("logs", "box").stdout.split()
    assert len(lines) > 1000
    assert lines == [b"%d" % number for number in range(1, len(lines) + 1)]


@either_client
@pytest.mark.parametrize("words", [["run", "-i", "--rm"], ["run", "-i"]], ids=["removed", "kept"])
def test_a_client_ends_when_its_shim_was_killed(daemon: Daemon, words: list[str], program: str) -> None:
    client = start_client(daemon, *words, "--name", "box", *NONE, "busybox", "cat", program=program)
    wait_until(lambda: daemon.client("ps", "-q", "-f", "status=running").stdout)

    os.kill(shim_of(daemon, "box"), signal.SIGKILL)

    client.wait(DEADLINE_S)
    assert client.returncode == 137
    client.communicate()


@either_client
def test_a_client_of_an_exec_ends_when_its_shim_was_killed(daemon: Daemon, program: str) -> None:
    daemon.client("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "600")
    client = start_client(daemon, "exec", "-i", "box", "sh", "-c", "echo in; cat", program=program)
    assert client.stdout is not None
    assert client.stdout.read(3) == b"in\n"

    os.kill(shim_of(daemon, "box"), signal.SIGKILL)

    client.wait(DEADLINE_S)
    assert client.returncode == 137
    client.communicate()


@either_client
def test_a_client_whose_daemon_and_container_died_ends(daemon: Daemon, program: str) -> None:
    client = start_client(daemon, "run", "-i", "--name", "box", *NONE, "busybox", "cat", program=program)
    wait_until(lambda: daemon.client("ps", "-q", "-f", "status=running").stdout)
    init = pid_of(daemon, "box")

    daemon.kill()
    os.kill(init, signal.SIGKILL)

    client.wait(DEADLINE_S)
    assert client.returncode != 0
    client.communicate()
    daemon.start()
    assert daemon.client("wait", "box").stdout == b"137\n"


@either_client
@pytest.mark.parametrize("words", [["wait", "box"], ["logs", "-f", "box"], ["events"]], ids=lambda w: w[0])
def test_a_client_that_waits_ends_with_its_daemon(daemon: Daemon, words: list[str], program: str) -> None:
    daemon.client("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "600")
    client = start_client(daemon, *words, program=program)
    time.sleep(0.3)
    assert client.poll() is None

    daemon.kill()

    client.wait(DEADLINE_S)
    client.communicate()
    daemon.start()


def test_a_daemon_comes_up_although_a_shim_does_not_answer(daemon: Daemon) -> None:
    daemon.client("run", "-d", "--name", "silent", *NONE, "busybox", "sleep", "600")
    daemon.client("run", "-d", "--name", "other", *NONE, "busybox", "sleep", "600")
    shim = shim_of(daemon, "silent")
    os.kill(shim, signal.SIGSTOP)
    try:
        daemon.kill()
        daemon.start()
        daemon.client("rm", "-f", "other")
    finally:
        os.kill(shim, signal.SIGCONT)

    wait_until(lambda: daemon.client("exec", "silent", "true", check=False).returncode == 0)
    daemon.client("rm", "-f", "silent")
    assert not strangers(daemon)


def test_a_daemon_ends_although_its_spawner_does_not(daemon: Daemon) -> None:
    spawner = spawner_of(daemon)
    os.kill(spawner, signal.SIGSTOP)

    daemon.terminate()

    assert not Path(f"/proc/{spawner}").exists()


def test_restarting_at_once_never_mounts_an_upper_directory_twice(daemon: Daemon) -> None:
    before = in_use_warnings()
    daemon.client("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "600")

    for _ in range(60):
        daemon.client("restart", "-t", "0", "box")

    assert in_use_warnings() == before
    assert daemon.client("ps", "-q", "-f", "status=running").stdout


def in_use_warnings() -> int:
    """How often the kernel has complained of an overlay's directory that is in use."""
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    return sum("overlayfs" in line and "in-use" in line for line in log.splitlines())


def test_a_full_disk_ends_a_pull_with_its_reason_and_leaves_nothing() -> None:
    with Registry() as registry:
        large = push_unique(registry.host, "full/large", "1", size_bytes=24 << 20)
        fitting = push_unique(registry.host, "full/fitting", "1")
        daemon = Daemon()
        data = daemon.root / "data"
        data.mkdir()
        mount.mount("tmpfs", str(data), "tmpfs", 0, "size=16m")
        try:
            daemon.start()
            used = used_bytes(data)

            done = daemon.client("pull", large, check=False)

            assert done.returncode == 1
            assert b"no space left on device" in done.stderr
            assert daemon.client("images", "-aq").stdout == b""
            partial = (data / "content/ingest").iterdir()
            assert sum(path.stat().st_size for path in partial) == 0
            wait_until(lambda: used_bytes(data) < used + (1 << 20))
            daemon.client("pull", fitting)
            assert daemon.client("images", "-q").stdout.count(b"\n") == 1
            daemon.terminate()
        finally:
            if daemon.process and daemon.process.poll() is None:
                daemon.kill()
            mount.umount(str(data))
            daemon.stop()


def used_bytes(path: Path) -> int:
    state = os.statvfs(path)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def test_a_daemon_killed_among_many_starts_leaves_nothing(daemon: Daemon) -> None:
    for round_ in range(3):
        clients = [
            start_client(daemon, "run", "--rm", *NONE, "-v", "/etc", "busybox", "sh", "-c", COUNT % 10)
            for _ in range(8)
        ]
        time.sleep(0.15 + 0.1 * round_)
        daemon.kill()
        for client in clients:
            client.communicate(timeout=DEADLINE_S)  # whatever became of it, it ends
        daemon.start()
        wait_until(lambda: not daemon.client("ps", "-q").stdout)

        left = daemon.client("ps", "-aq").stdout.decode().split()
        if left:  # those that were created and never started are the client's to remove
            daemon.client("rm", "-v", *left)
        wait_until(lambda: not strangers(daemon))


def strangers(daemon: Daemon) -> list[str]:
    """What is left of containers where there is none."""
    places = ("exec/tasks/moby/*", "exec/engine/execs/*", "data/containers/*", "data/volumes/*")
    found = [str(path) for place in places for path in daemon.root.glob(place)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *found,
        *daemon.cgroups(),
        *(line.split()[4] for line in mounts if f" {daemon.root}/" in line),
    ]
