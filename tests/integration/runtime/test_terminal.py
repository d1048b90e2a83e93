"""Terminals, hooks and user namespaces."""

from __future__ import annotations

import array
import json
import os
import pty
import select
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.integration.runtime.conftest import Bundle, Runtime


def receive_console(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    with connection:
        _, ancillary, _, _ = connection.recvmsg(64, socket.CMSG_SPACE(4))
    return int(array.array("i", ancillary[0][2])[0])


def read_all(fd: int, timeout_s: float = 5) -> str:
    said = b""
    while select.select([fd], [], [], timeout_s)[0]:
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(fd)
    return said.decode().replace("\r\n", "\n")


def test_the_console_socket_gets_the_terminal(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.spec["process"]["terminal"] = True
    bundle.spec["process"]["consoleSize"] = {"height": 30, "width": 100}
    bundle.command(
        "sh", "-c", "tty; stty size; stat -c '%t %T' /dev/console; ls -1 /dev/pts; echo $((1+1)) > /dev/tty"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "console"))
        listener.listen()

        result = runtime.create(bundle, "--console-socket", str(tmp_path / "console"))
        master = receive_console(listener)
    runtime("start", "c")

    assert result.returncode == 0
    assert read_all(master) == "/dev/pts/0\n30 100\n88 0\n0\nptmx\n2\n"


def test_exec_gets_a_terminal_of_the_container(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sleep", "60")
    runtime.create(bundle)
    runtime("start", "c")

    said, code = on_a_terminal(runtime, "exec", "--tty", "c", "sh", "-c", "tty; exit 3")

    assert (said, code) == ("/dev/pts/0\n", 3)


def test_run_copies_between_the_terminals(runtime: Runtime, bundle: Bundle) -> None:
    bundle.spec["process"]["terminal"] = True
    bundle.command("sh", "-c", "stty -echo; read line; echo got $line; exit 4")
    bundle.write()
    runtime.ids.add("c")

    said, code = on_a_terminal(runtime, "run", "--bundle", str(bundle.path), "c", typed=b"word\n")

    assert said.endswith("got word\n")
    assert code == 4


def test_a_terminal_without_a_console_socket_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.spec["process"]["terminal"] = True

    result = runtime.create(bundle)

    assert result.returncode == 1
    assert "cannot allocate tty" in runtime.last_error()


@pytest.mark.parametrize(
    "kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]
)
def test_hooks_get_the_state_on_stdin(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    script = "cat > /tmp/state"
    place = bundle.rootfs / "tmp/state"
    if kind in ("prestart", "createRuntime", "createContainer", "poststart"):
        script = f"cat > {place}"
    bundle.spec["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    bundle.spec["annotations"] = {"a": "b"}
    bundle.command("sleep", "0.2")

    assert runtime.run(bundle).returncode == 0

    state = json.loads(place.read_text())
    assert (state["id"], state["bundle"], state["annotations"]) == ("c", str(bundle.path), {"a": "b"})
    assert state["pid"] > 0


def test_poststop_runs_when_the_container_is_deleted(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.spec["hooks"] = {
        "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/stopped"]}]
    }

    runtime.run(bundle)

    assert json.loads((tmp_path / "stopped").read_text())["status"] == "stopped"


def test_a_hook_that_fails_stops_the_start_with_its_words(runtime: Runtime, bundle: Bundle) -> None:
    bundle.spec["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]
    }

    assert runtime.run(bundle).returncode == 1
    assert "error running createRuntime hook #0: exit status 3, stderr: no" in runtime.last_error()


def test_a_hook_that_hangs_is_killed_at_its_timeout(runtime: Runtime, bundle: Bundle) -> None:
    bundle.spec["hooks"] = {
        "createContainer": [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]
    }
    began = time.monotonic()

    assert runtime.run(bundle).returncode == 1
    assert "deadline exceeded" in runtime.last_error()
    assert time.monotonic() - began < 10


def test_a_user_namespace_maps_the_ids(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    _map_users(bundle)
    (tmp_path / "given").write_text("x")
    os.chown(tmp_path / "given", 100005, 100005)
    bundle.mount("/given", "bind", str(tmp_path / "given"), "bind", "ro")
    bundle.command(
        "sh", "-c", "cat /proc/self/uid_map; id -u; stat -c %u /given /proc/1; "
        "echo x > /dev/null; ls -ld /proc/keys; "
        "touch /tmp/made; cat /proc/keys | wc -c; mount | grep -c cgroup"
    )  # fmt: skip

    result = runtime.run(bundle)

    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert lines[0].split() == ["0", "100000", "65536"]
    assert lines[1:4] == ["0", "5", "0"]
    assert (bundle.rootfs / "tmp/made").stat().st_uid == 100000


def test_exec_joins_the_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    _map_users(bundle)
    bundle.command("sleep", "60")
    assert runtime.create(bundle).returncode == 0
    runtime("start", "c")

    result = runtime("exec", "--user", "7", "c", "sh", "-c", "id -u; cat /proc/self/uid_map")

    assert result.stdout.split() == ["7", "0", "100000", "65536"]


def test_a_second_container_joins_the_namespaces_of_a_first(runtime: Runtime, bundle: Bundle) -> None:
    """As a pod does: user, network and pid namespace of the first, the rest of its own."""
    _map_users(bundle)
    bundle.command("sleep", "60")
    assert runtime.create(bundle, name="first").returncode == 0
    runtime("start", "first")
    pid = runtime.state("first")["pid"]
    for entry in bundle.spec["linux"]["namespaces"]:
        if entry["type"] in ("user", "network", "pid"):
            name = {"network": "net"}.get(entry["type"], entry["type"])
            entry["path"] = f"/proc/{pid}/ns/{name}"
    del bundle.spec["linux"]["uidMappings"], bundle.spec["linux"]["gidMappings"]
    del bundle.spec["linux"]["cgroupsPath"]
    bundle.command(
        "sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/user; ps | grep -c 'sleep 60'"
    )

    result = runtime.run(bundle, name="second")

    names = [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("net", "user")]
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:2] == names


def test_time_offsets_are_those_of_the_configuration(runtime: Runtime, bundle: Bundle) -> None:
    bundle.spec["linux"]["namespaces"].append({"type": "time"})
    bundle.spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 0}}
    bundle.command("cat", "/proc/uptime")

    result = runtime.run(bundle)

    assert float(result.stdout.split()[0]) > 1000000, result.stderr


def on_a_terminal(runtime: Runtime, *args: str, typed: bytes = b"") -> tuple[str, int]:
    """What the command writes to the terminal it is started on, and its exit code."""
    master, slave = pty.openpty()
    command = [*runtime.program, "--root", str(runtime.root), *args]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    if typed:
        time.sleep(0.4)
        os.write(master, typed)
    return read_all(master), process.wait(10)


def _map_users(bundle: Bundle) -> None:
    bundle.spec["linux"]["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.spec["linux"]["uidMappings"] = bundle.spec["linux"]["gidMappings"] = mapping
    for path in [bundle.rootfs, *bundle.rootfs.rglob("*")]:
        os.chown(path, 100000, 100000, follow_symlinks=False)
    for path in [bundle.rootfs, *bundle.rootfs.parents][:5]:
        path.chmod(path.stat().st_mode | 0o111)
