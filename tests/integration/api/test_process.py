"""wherryd as a process: its roots, its sockets, its signals, and what it leaves behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon import BIN, Daemon

WHERRYD = str(BIN / "wherryd")


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon() as running:
        yield running


def roots(path: Path) -> list[str]:
    return ["--data-root", f"{path}/data", "--exec-root", f"{path}/exec", "-H", f"unix://{path}/d.sock"]


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([WHERRYD, *words], capture_output=True, text=True, timeout=30, **options)  # type: ignore[call-overload,no-any-return]


def get(path: Path, target: str) -> bytes:
    """The whole answer of one request, over a connection of its own."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b""))


class TestWords:
    def test_the_version_and_the_help_need_no_root_directory(self) -> None:
        assert run("--version").stdout.startswith("wherryd version ")
        assert "Usage:  wherryd [OPTIONS]" in run("--help").stdout

    def test_a_wrong_flag_is_named(self) -> None:
        ended = run("--nope")

        assert ended.returncode == 1
        assert ended.stderr.splitlines() == ["wherryd: unknown flag: --nope", "See 'wherryd --help'."]

    def test_a_configuration_can_be_checked(self, tmp_path: Path) -> None:
        file = tmp_path / "daemon.json"
        file.write_text('{"hosts": ["unix:///x"], "debug": true}')

        ended = run("--validate", "--config-file", str(file))

        assert (ended.returncode, ended.stdout) == (0, "configuration OK\n")

    @pytest.mark.parametrize("option", ["--data-root", "--exec-root", "--pidfile"])
    def test_a_path_that_cannot_be_used_is_named(self, tmp_path: Path, option: str) -> None:
        ended = run(*roots(tmp_path), option, "/proc/nowhere/x")

        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == "wherryd: /proc/nowhere: No such file or directory"

    def test_a_damaged_database_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data/metadata.db").write_bytes(b"nonsense" * 1000)

        ended = run(*roots(tmp_path))

        assert ended.returncode == 1
        assert "metadata.db" in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.parametrize("address", ["tcp://0.0.0.0:0", "tcp://192.0.2.1:1234"])
    def test_tcp_that_is_root_for_strangers_is_refused(self, tmp_path: Path, address: str) -> None:
        ended = run(*roots(tmp_path), "-H", address)

        assert ended.returncode == 1
        assert "refusing to serve tcp://" in ended.stderr
        assert "--tls=false" in ended.stderr


class TestRoots:
    def test_a_second_daemon_names_the_first(self, daemon: Daemon) -> None:
        assert daemon.process
        other = [*daemon.argv()[1:]]
        other[other.index("--host") + 1] = f"unix://{daemon.root}/other.sock"

        ended = run(*other)

        assert ended.returncode == 1
        assert f"{daemon.root}/data is in use by another wherryd (pid {daemon.process.pid})" in ended.stderr
        assert not (daemon.root / "other.sock").exists()

    def test_a_socket_that_somebody_answers_on_is_not_taken(self, daemon: Daemon, tmp_path: Path) -> None:
        ended = run(*roots(tmp_path), "-H", daemon.host)

        assert ended.returncode == 1
        assert "another process answers there" in ended.stderr
        assert b"200 OK" in get(daemon.socket, "/_ping")

    def test_a_socket_that_a_killed_daemon_left_is_replaced(self, daemon: Daemon) -> None:
        daemon.kill()
        assert daemon.socket.exists()

        daemon.start()

        assert b"200 OK" in get(daemon.socket, "/_ping")

    def test_the_socket_is_for_its_group_only(self, daemon: Daemon) -> None:
        assert daemon.socket.stat().st_mode & 0o777 == 0o660

    def test_an_unknown_group_is_named(self, tmp_path: Path) -> None:
        ended = run(*roots(tmp_path), "--group", "no-such-group")

        assert ended.returncode == 1
        assert "group no-such-group not found" in ended.stderr


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_and_nothing_is_left(self, daemon: Daemon, number: signal.Signals) -> None:
        assert daemon.process
        assert (daemon.root / "pid").read_text() == f"{daemon.process.pid}\n"

        daemon.process.send_signal(number)

        assert daemon.process.wait(20) == 0
        assert not daemon.socket.exists()
        assert not (daemon.root / "pid").exists()
        assert not daemon.leftovers()

    def test_a_hangup_reads_the_configuration_again(self, tmp_path: Path) -> None:
        file = tmp_path / "daemon.json"
        file.write_text('{"labels": ["a=1"]}')
        with Daemon(arguments=("--config-file", str(file))) as daemon:
            assert daemon.process
            assert b'"Labels":["a=1"]' in get(daemon.socket, "/info")

            file.write_text('{"labels": ["a=2"], "debug": true}')
            daemon.process.send_signal(signal.SIGHUP)
            reloaded = _wait_for_event(daemon, "reload")
            assert reloaded["Actor"]["Attributes"]["labels"] == '["a=2"]'
            assert b'"Labels":["a=2"]' in get(daemon.socket, "/info")

            file.write_text('{"labels": "broken"')
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            assert b'"Labels":["a=2"]' in get(daemon.socket, "/info")

    def test_a_follower_does_not_hold_it_up(self, daemon: Daemon) -> None:
        assert daemon.process
        with socket.socket(socket.AF_UNIX) as follower:
            follower.connect(str(daemon.socket))
            follower.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            follower.recv(4096)
            started = time.monotonic()

            daemon.process.send_signal(signal.SIGTERM)

            assert daemon.process.wait(20) == 0
            assert time.monotonic() - started < 5

    def test_an_idle_daemon_on_demand_ends_by_itself(self) -> None:
        with Daemon(arguments=("--idle-exit-s", "1")) as daemon:
            assert daemon.process
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(daemon.socket))
                time.sleep(2)
                assert daemon.process.poll() is None, "it ended under a client"

            assert daemon.process.wait(10) == 0
            assert not daemon.socket.exists()


def _wait_for_event(daemon: Daemon, action: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        target = f"/events?since=1&until={time.time():.9f}"
        request = f"GET {target} HTTP/1.0\r\nHost: x\r\n\r\n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(daemon.socket))
            sock.sendall(request.encode())
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        for line in answer.partition(b"\r\n\r\n")[2].splitlines():
            event: dict[str, Any] = json.loads(line)
            if event["Action"] == action:
                return event
        time.sleep(0.05)
    raise AssertionError(f"no {action} event")


class TestReadiness:
    def test_a_descriptor_is_told_when_clients_are_served(self, tmp_path: Path) -> None:
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [WHERRYD, *roots(tmp_path), "--ready-fd", str(writer)], pass_fds=[writer], stderr=subprocess.PIPE
        )
        os.close(writer)
        try:
            with open(reader, "rb") as ready:
                assert ready.readline() == b"ready\n"
                assert b"200 OK" in get(tmp_path / "d.sock", "/_ping")
        finally:
            process.terminate()
            process.communicate(timeout=20)

    def test_a_service_manager_passes_the_socket_and_is_told(self, tmp_path: Path) -> None:
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        passed = socket.socket(socket.AF_UNIX)
        passed.bind(str(tmp_path / "d.sock"))
        passed.listen()
        words = [WHERRYD, *roots(tmp_path)[:4], "-H", "fd://"]
        script = f"exec 3<&{passed.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec {' '.join(words)}"
        process = subprocess.Popen(
            ["/bin/bash", "-c", script],
            pass_fds=[passed.fileno()],
            env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.PIPE,
        )
        try:
            assert told.recv(100) == b"READY=1"
            assert b"200 OK" in get(tmp_path / "d.sock", "/_ping")
            process.terminate()
            assert told.recv(100) == b"STOPPING=1"
            process.communicate(timeout=20)
            assert (tmp_path / "d.sock").exists(), "a passed socket is the service manager's"
        finally:
            process.kill()
            process.communicate()
            told.close()
            passed.close()


def test_the_idle_daemon_is_small(daemon: Daemon) -> None:
    assert daemon.process
    json.loads(get(daemon.socket, "/version").partition(b"\r\n\r\n")[2])

    kib = int(Path(f"/proc/{daemon.process.pid}/status").read_text().partition("VmRSS:")[2].split()[0])

    assert kib <= 50 * 1024


@pytest.fixture(autouse=True)
def clean(tmp_path: Path) -> Iterator[None]:
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_an_attached_client_outlives_the_daemon(daemon: Daemon) -> None:
    daemon.import_busybox()
    script = "while read line; do echo got $line; done"
    made = (
        daemon.client("create", "-i", "--network", "none", "busybox", "sh", "-c", script)
        .stdout.decode()
        .strip()
    )
    target = f"/containers/{made}/attach?stream=1&stdin=1&stdout=1"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(daemon.socket))
        client.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        daemon.client("start", made)
        client.sendall(b"one\n")
        assert client.recv(100).endswith(b"got one\n")

        daemon.kill()
        client.sendall(b"two\n")
        assert client.recv(100).endswith(b"got two\n")

        daemon.start()
        client.sendall(b"three\n")
        assert client.recv(100).endswith(b"got three\n")
        assert daemon.client("logs", made).stdout == b"got one\ngot two\ngot three\n"


def test_an_upload_that_asks_first_is_told_to_continue(daemon: Daemon, tmp_path: Path) -> None:
    daemon.import_busybox()
    archive = tmp_path / "saved.tar"
    archive.write_bytes(daemon.client("save", "busybox").stdout)
    words = ["-s", "--unix-socket", str(daemon.socket), "-H", "Expect: 100-continue", "--data-binary"]

    done = subprocess.run(
        ["curl", *words, f"@{archive}", "http://d/images/load"], capture_output=True, timeout=30, check=True
    )

    assert b'{"stream":"Loaded image: busybox:latest\\n"}' in done.stdout
