"""The life of a container through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.integration.runtime.conftest import Bundle, Runtime

from wherry.runtime.reaper import build


def test_a_command_that_is_not_in_path_fails_create_with_dockers_words(
    runtime: Runtime, bundle: Bundle
) -> None:
    bundle.command("nope")

    result = runtime.create(bundle)

    assert result.returncode == 1
    assert runtime.last_error().endswith(
        "unable to start container process: error during container init: "
        'exec: "nope": executable file not found in $PATH'
    )
    assert runtime("state", "c").returncode == 1


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("/nope", 'exec: "/nope": stat /nope: no such file or directory'),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied'),
        ("/etc", 'exec: "/etc": is a directory: permission denied'),
    ],
)
def test_a_command_that_cannot_be_executed_says_why(
    runtime: Runtime, bundle: Bundle, command: str, cause: str
) -> None:
    bundle.command(command)

    result = runtime.run(bundle)

    assert result.returncode == 1
    assert runtime.last_error().endswith(cause)


def test_a_failed_create_leaves_nothing(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/x", "bind", "/does/not/exist", "rbind")
    bundle.spec["linux"]["cgroupsPath"] = "/wherry-test/failed"

    result = runtime.run(bundle)

    assert result.returncode == 1
    assert 'error mounting "/does/not/exist" to rootfs at "/x"' in runtime.last_error()
    assert runtime("list", "-q").stdout == ""
    assert not list(Path("/sys/fs/cgroup").glob("*/wherry-test/failed"))


def test_create_waits_for_start(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.command("sh", "-c", "echo started; sleep 60")

    created = runtime.create(bundle, "--pid-file", str(tmp_path / "pid"))
    state = runtime.state()
    output_before = runtime.output()
    started = runtime("start", "c")
    after = runtime.state()

    assert created.returncode == started.returncode == 0
    assert state["status"] == "created"
    assert state["pid"] == int((tmp_path / "pid").read_text())
    assert output_before == ""
    assert after["status"] == "running"
    wait_until(lambda: runtime.output() == "started\n")


def test_a_second_start_and_a_delete_of_a_running_container_are_refused(
    runtime: Runtime, bundle: Bundle
) -> None:
    bundle.command("sleep", "60")
    runtime.create(bundle)
    runtime("start", "c")

    again, delete = runtime("start", "c"), runtime("delete", "c")

    assert again.returncode == delete.returncode == 1
    assert "cannot start an already running container" in again.stderr
    assert "cannot delete container c that is not stopped: running" in delete.stderr


def test_an_id_is_used_once(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sleep", "60")
    runtime.create(bundle)

    result = runtime("create", "--bundle", str(bundle.path), "c")

    assert result.returncode == 1
    assert result.stderr.strip() == "container with given ID already exists"


@pytest.mark.parametrize("name", ["..", "a/b", "a b", ""])
def test_an_id_that_is_a_path_is_refused(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.write()

    result = runtime("create", "--bundle", str(bundle.path), name)

    assert result.returncode == 1
    assert "container id" in result.stderr.lower()


def test_an_unknown_container_does_not_exist(runtime: Runtime) -> None:
    for verb in ("state", "start", "kill", "delete", "pause", "resume"):
        assert runtime(verb, "ghost").stderr == "container does not exist\n"
    assert runtime("delete", "--force", "ghost").returncode == 0


def test_kill_stops_and_delete_forgets(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sleep", "60")
    runtime.create(bundle)
    runtime("start", "c")

    killed = runtime("kill", "c", "KILL")
    wait_until(lambda: runtime.state()["status"] == "stopped")
    late = runtime("kill", "c", "TERM")
    deleted = runtime("delete", "c")

    assert killed.returncode == deleted.returncode == 0
    assert late.stderr == "container not running\n"
    assert runtime.state() == {}


def test_run_gives_the_exit_code_of_the_program(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sh", "-c", "echo out; echo err >&2; exit 42")

    result = runtime.run(bundle)

    assert (result.returncode, result.stdout, result.stderr) == (42, "out\n", "err\n")


def test_run_forwards_signals(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done")
    bundle.spec["linux"]["cgroupsPath"] = "/wherry-test/signals"
    bundle.write()
    runtime.ids.add("c")
    command = [*runtime.program, "--root", str(runtime.root), "run", "--bundle", str(bundle.path), "c"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 9
    process.stdout.close()


def test_a_death_by_signal_is_128_and_its_number(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sh", "-c", "sleep 60 & exec sleep 61")
    runtime.create(bundle)
    runtime("start", "c")
    bundle.command("sh", "-c", "kill -9 -1; sleep 1")

    assert runtime("exec", "c", "sh", "-c", "kill -15 $$").returncode == 143


def test_pause_stops_the_processes_until_resume(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sh", "-c", "while :; do date >> /tmp/beat; sleep 0.02; done")
    runtime.create(bundle)
    runtime("start", "c")
    beat = bundle.rootfs / "tmp/beat"
    wait_until(beat.exists)

    assert runtime("pause", "c").returncode == 0
    paused, size = runtime.state()["status"], beat.stat().st_size
    time.sleep(0.2)
    still = beat.stat().st_size
    refused = runtime("exec", "c", "true")
    assert runtime("resume", "c").returncode == 0

    assert (paused, still) == ("paused", size)
    assert refused.returncode == 255
    assert "cannot exec in a paused container (use --ignore-paused to override)" in refused.stderr
    wait_until(lambda: beat.stat().st_size > size)


def test_list_ps_and_events_tell_what_runs(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sleep", "60")
    runtime.create(bundle)
    runtime("start", "c")

    listed = json.loads(runtime("list", "--format", "json").stdout)
    pids = json.loads(runtime("ps", "--format", "json", "c").stdout)
    stats = json.loads(runtime("events", "--stats", "c").stdout)

    assert [each["id"] for each in listed] == ["c"]
    assert pids == [listed[0]["pid"]]
    assert stats["type"] == "stats"
    assert stats["data"]["pids"]["current"] == 1


def test_update_changes_a_limit(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sleep", "60")
    runtime.create(bundle)
    runtime("start", "c")

    assert runtime("update", "--pids-limit", "7", "c").returncode == 0

    assert json.loads(runtime("events", "--stats", "c").stdout)["data"]["pids"]["limit"] == 7


def test_what_a_killed_create_left_is_removed_by_force(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sleep", "60")
    bundle.spec["linux"]["cgroupsPath"] = "/wherry-test/killed-create"
    bundle.write()
    runtime.ids.add("c")
    environment = {**os.environ, "WHERRY_FAULT": "runtime.create.cloned"}

    command = [*runtime.program, "--root", str(runtime.root), "create", "--bundle", str(bundle.path), "c"]
    quiet = subprocess.DEVNULL  # a pipe would be held open by the orphan
    killed = subprocess.run(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=30)

    assert killed.returncode == -9
    assert runtime("delete", "--force", "c").returncode == 0
    assert not list(Path("/sys/fs/cgroup").glob("*/wherry-test/killed-create"))


def test_preserved_descriptors_reach_the_program_and_no_others(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sh", "-c", "cat <&3; ls /proc/self/fd")
    bundle.spec["linux"]["cgroupsPath"] = "/wherry-test/preserve"
    bundle.write()
    runtime.ids.add("c")
    read, write = os.pipe()
    os.write(write, b"given\n")
    os.close(write)
    script = f'exec 3<&{read} {read}<&-; exec "$@"'
    command = ["/bin/bash", "-c", script, "-", *runtime.program, "--root", str(runtime.root)]

    result = subprocess.run(
        [*command, "run", "--preserve-fds", "1", "--bundle", str(bundle.path), "c"],
        pass_fds=[read], capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    os.close(read)

    assert result.stdout == "given\n0\n1\n2\n3\n4\n"  # 4 is the directory that ls reads


def wait_until(condition: object, timeout_s: float = 5) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def test_the_init_program_is_a_first_process_as_it_should_be(runtime: Runtime, bundle: Bundle) -> None:
    """It reaps orphans, and passes on SIGTERM, which a first process without a handler never gets."""
    (bundle.rootfs / "sbin").mkdir()
    (bundle.rootfs / "sbin/docker-init").write_bytes(build(os.uname().machine))
    (bundle.rootfs / "sbin/docker-init").chmod(0o755)
    orphans = "for i in 1 2 3; do (sleep 0.02 &); done; sleep 0.2; grep -l '^State:.*Z' /proc/[0-9]*/status"
    bundle.command("/sbin/docker-init", "--", "sh", "-c", f"{orphans}; echo up; exec sleep 60")
    runtime.create(bundle)
    runtime("start", "c")
    wait_until(lambda: runtime.output().endswith("up\n"))

    runtime("kill", "c", "TERM")

    wait_until(lambda: runtime.state()["status"] == "stopped")
    assert runtime.output() == "up\n"
