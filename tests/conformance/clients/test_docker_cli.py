"""The real docker CLI does its daily work on our daemon, unchanged."""

import hashlib
import json
import os
import pty
import re
import select
import subprocess
import threading
import time

import pytest
from tests.daemon import REFERENCE, SEARCH_PATH, TIME_FACTOR, Daemon

NONE = ("--network", "none")


def test_version_and_info_describe_the_server(daemon: Daemon) -> None:
    version = json.loads(daemon.client("version", "--format", "{{json .Server}}").stdout)
    info = json.loads(daemon.client("info", "--format", "{{json .}}").stdout)

    assert version["Os"] == "linux"
    assert info["OSType"] == "linux"
    assert not info.get("ServerErrors")


def test_images_lists_the_imported_image(daemon: Daemon) -> None:
    listed = daemon.client("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.decode().split()

    assert "busybox:latest" in listed


def test_run_prints_what_the_container_prints(daemon: Daemon) -> None:
    done = daemon.client("run", "--rm", *NONE, "busybox", "sh", "-c", "echo out; echo err >&2")

    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
        (["/no/such"], 127),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_run_ends_with_the_exit_code(daemon: Daemon, command: list[str], code: int) -> None:
    done = daemon.client("run", "--rm", *NONE, "busybox", *command, check=False)

    assert done.returncode == code, done.stderr


def test_run_of_an_unknown_image_is_125(daemon: Daemon) -> None:
    done = daemon.client("run", "--rm", "127.0.0.1:1/no/such:image", check=False)

    assert done.returncode == 125
    assert b"Unable to find image" in done.stderr


def test_a_container_has_a_world_of_its_own(daemon: Daemon) -> None:
    script = "echo $$; hostname; ls /sys/class/net; cat /proc/1/comm; grep -c . /proc/self/mountinfo"

    lines = daemon.client("run", "--rm", *NONE, "-h", "harbour", "busybox", "sh", "-c", script).stdout.split()

    assert lines[:4] == [b"1", b"harbour", b"lo", b"sh"]


def test_stdin_reaches_the_container_and_its_end_too(daemon: Daemon) -> None:
    done = daemon.client("run", "-i", "--rm", *NONE, "busybox", "sh", "-c", "cat; echo end", stdin=b"a\nb\n")

    assert done.stdout == b"a\nb\nend\n"


def test_half_a_gigabyte_through_cat_is_the_same_bytes(daemon: Daemon) -> None:
    block = os.urandom(1 << 20)
    total = 64 if REFERENCE else 500
    expected = hashlib.sha256(block * total).hexdigest()
    env = {"PATH": SEARCH_PATH, "HOME": "/root", "DOCKER_HOST": daemon.host}
    command = ["docker", "run", "-i", "--rm", *NONE, "busybox", "cat"]
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout

    def feed() -> None:
        assert process.stdin
        for _ in range(total):
            process.stdin.write(block)
        process.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    digest = hashlib.sha256()
    while chunk := process.stdout.read(1 << 20):
        digest.update(chunk)
    feeder.join()
    process.stdout.close()

    assert process.wait() == 0
    assert digest.hexdigest() == expected


def test_a_terminal_session_sees_a_terminal_and_its_size(daemon: Daemon) -> None:
    master, slave = pty.openpty()
    env = {"PATH": SEARCH_PATH, "HOME": "/root", "DOCKER_HOST": daemon.host, "TERM": "xterm"}
    subprocess.run(["stty", "rows", "33", "cols", "101"], stdin=slave, check=True)
    command = ["docker", "run", "-it", "--rm", *NONE, "busybox", "sh"]
    process = subprocess.Popen(
        command, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)

    read_until(master, b"# ")
    time.sleep(0.3)  # the CLI sends the size after the start
    os.write(master, b"stty size; tty; echo done-$((40+2))\n")
    seen = read_until(master, b"done-42")
    os.write(master, b"exit 7\n")
    rest = read_until(master, None)
    os.close(master)

    assert process.wait(20 * TIME_FACTOR) == 7, rest
    assert b"33 101" in seen
    assert b"/dev/" in seen


def read_until(fd: int, wanted: bytes | None) -> bytes:
    """Read from a terminal until `wanted` appears, or to its end."""
    seen = b""
    deadline = time.monotonic() + 30 * TIME_FACTOR
    while wanted is None or wanted not in seen:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"waited for {wanted!r}, saw {seen!r}"
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    return seen


def test_exec_runs_beside_and_returns_its_code(daemon: Daemon) -> None:
    daemon.client("run", "-d", "--name", "beside", *NONE, "busybox", "sleep", "300")

    echoed = daemon.client("exec", "-i", "beside", "cat", stdin=b"through exec")
    failed = daemon.client("exec", "beside", "sh", "-c", "exit 3", check=False)
    missing = daemon.client("exec", "beside", "/no/such", check=False)
    daemon.client("rm", "-f", "beside")

    assert echoed.stdout == b"through exec"
    assert failed.returncode == 3
    assert missing.returncode == (126 if REFERENCE else 127)


def test_logs_follow_ends_with_the_container(daemon: Daemon) -> None:
    daemon.client(
        "run", "-d", "--name", "talker", *NONE, "busybox", "sh", "-c", "echo one; sleep 1; echo two >&2"
    )

    followed = daemon.client("logs", "-f", "talker")
    stamped = daemon.client("logs", "-t", "--tail", "1", "talker")
    daemon.client("rm", "talker")

    assert (followed.stdout, followed.stderr) == (b"one\n", b"two\n")
    assert re.match(rb"\d{4}-\d\d-\d\dT[\d:.]+Z two\n", stamped.stderr)


def test_stop_asks_before_it_kills(daemon: Daemon) -> None:
    script = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    daemon.client("run", "-d", "--name", "polite", *NONE, "busybox", "sh", "-c", script)

    stopped = daemon.client("stop", "polite")
    code = daemon.client("inspect", "-f", "{{.State.ExitCode}}", "polite").stdout
    daemon.client("rm", "polite")

    assert stopped.stdout == b"polite\n"
    assert code == b"5\n"


def test_a_running_container_is_not_removed_without_force(daemon: Daemon) -> None:
    daemon.client("run", "-d", "--name", "busy", *NONE, "busybox", "sleep", "300")

    refused = daemon.client("rm", "busy", check=False)
    removed = daemon.client("rm", "-f", "busy")

    assert refused.returncode == 1
    assert removed.stdout == b"busy\n"


def test_a_name_is_used_once(daemon: Daemon) -> None:
    daemon.client("create", "--name", "taken", *NONE, "busybox", "true")

    second = daemon.client("create", "--name", "taken", *NONE, "busybox", "true", check=False)
    daemon.client("rm", "taken")

    assert second.returncode == 1
    assert b'The container name "/taken" is already in use by container' in second.stderr


def test_events_tell_the_life_of_a_container(daemon: Daemon) -> None:
    since = daemon.client("info", "--format", "{{.SystemTime}}").stdout.decode().strip()

    daemon.client("run", "--rm", "--name", "eventful", *NONE, "busybox", "true")
    time.sleep(1.1)  # the CLI sends `--until 0s` in whole seconds
    shown = daemon.client(
        "events",
        "--since",
        since,
        "--until",
        "0s",
        "--filter",
        "container=eventful",
        "--format",
        "{{.Action}}",
    )

    actions = shown.stdout.decode().split()
    assert [a for a in actions if a in ("create", "attach", "start", "die", "destroy")] == [
        "create", "attach", "start", "die", "destroy",
    ]  # fmt: skip


def test_save_and_load_bring_the_same_image_back(daemon: Daemon) -> None:
    before = daemon.client("inspect", "-f", "{{.Id}}", "busybox").stdout
    daemon.client("tag", "busybox", "travelling:1")
    saved = daemon.client("save", "travelling:1").stdout
    daemon.client("rmi", "travelling:1")

    loaded = daemon.client("load", stdin=saved)
    after = daemon.client("inspect", "-f", "{{.Id}}", "travelling:1").stdout
    ran = daemon.client("run", "--rm", *NONE, "travelling:1", "echo", "back")
    daemon.client("rmi", "travelling:1")

    assert b"Loaded image: travelling:1" in loaded.stdout
    assert after == before
    assert ran.stdout == b"back\n"


def test_binds_volumes_and_tmpfs(daemon: Daemon) -> None:
    shared = daemon.root / "shared"
    shared.mkdir()
    (shared / "from-host").write_text("ahoy")
    script = "cat /b/from-host; echo x > /v/kept; touch /t/gone; touch /r/no 2>/dev/null || echo read-only"
    mounts = ("-v", f"{shared}:/b", "-v", "kept:/v", "--tmpfs", "/t", "-v", f"{shared}:/r:ro")

    first = daemon.client("run", "--rm", *NONE, *mounts, "busybox", "sh", "-c", script)
    second = daemon.client("run", "--rm", *NONE, "-v", "kept:/v", "busybox", "cat", "/v/kept")
    daemon.client("volume", "rm", "kept")

    assert first.stdout == b"ahoyread-only\n"
    assert second.stdout == b"x\n"


def test_limits_reach_the_cgroup(daemon: Daemon) -> None:
    limits = ("-m", "64m", "--pids-limit", "33", "--cpus", "0.5")
    where = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    pids = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"

    done = daemon.client("run", "--rm", *NONE, *limits, "busybox", "sh", "-c", f"{where}; {pids}")

    assert done.stdout.split() == [b"67108864", b"33"]


def test_system_prune_removes_what_is_stopped(daemon: Daemon) -> None:
    daemon.client("run", "--name", "ended", *NONE, "busybox", "true")

    pruned = daemon.client("system", "prune", "-f")
    left = daemon.client("ps", "-a", "--format", "{{.Names}}").stdout.decode().split()

    assert b"Deleted Containers:" in pruned.stdout
    assert "ended" not in left
