"""Real clients on a real daemon: the docker CLI, docker-py, curl and raw sockets."""

import gc
import hashlib
import json
import os
import pty
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import ContainerError, ImageNotFound, NotFound
from tests.daemon import SEARCH_PATH, Daemon

QUIET = ("--network", "none")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon() as running:
        running.import_busybox()
        yield running


@pytest.fixture
def sdk(daemon: Daemon) -> Iterator[Any]:
    client = docker.DockerClient(base_url=daemon.host, timeout=60)
    yield client
    client.close()
    gc.collect()  # it leaves hijacked sockets to the collector


def raw(daemon: Daemon, request: bytes, *, half_close: bool = False) -> bytes:
    """Everything that the daemon answers to `request`, sent in one segment."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(daemon.socket))
        sock.sendall(request)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


class TestDockerCli:
    def test_version_and_info_tell_what_runs(self, daemon: Daemon) -> None:
        assert b"Server:" in daemon.client("version").stdout
        assert b"Server Version:" in daemon.client("info").stdout

    def test_run_gives_output_and_exit_code(self, daemon: Daemon) -> None:
        assert daemon.client("run", "--rm", *QUIET, "busybox", "echo", "hi").stdout == b"hi\n"
        failed = daemon.client(
            "run", "--rm", *QUIET, "busybox", "sh", "-c", "echo no >&2; exit 7", check=False
        )
        assert (failed.returncode, failed.stdout, failed.stderr) == (7, b"", b"no\n")

    @pytest.mark.parametrize(
        ("command", "code", "text"),
        [
            ("/no/such", 127, b"no such file or directory"),
            ("nosuch", 127, b'exec: "nosuch": executable file not found in $PATH'),
            ("/etc/passwd", 126, b"permission denied"),
        ],
    )
    def test_what_cannot_run_has_dockers_code(
        self, daemon: Daemon, command: str, code: int, text: bytes
    ) -> None:
        failed = daemon.client("run", "--rm", *QUIET, "busybox", command, check=False)

        assert failed.returncode == code
        assert text in failed.stderr

    @pytest.mark.parametrize("size", [0, 3, 20_000_000])
    def test_bytes_through_cat_are_equal(self, daemon: Daemon, size: int) -> None:
        sent = os.urandom(size)

        received = daemon.client("run", "--rm", "-i", *QUIET, "busybox", "cat", stdin=sent).stdout

        assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()

    def test_exec_reads_stdin_and_tells_its_exit_code(self, daemon: Daemon) -> None:
        daemon.client("run", "-d", "--name", "execs", *QUIET, "busybox", "sleep", "600")
        try:
            assert daemon.client("exec", "-i", "execs", "cat", stdin=b"in\n").stdout == b"in\n"
            assert daemon.client("exec", "execs", "sh", "-c", "exit 5", check=False).returncode == 5
            assert daemon.client("exec", "execs", "nosuch", check=False).returncode == 127
        finally:
            daemon.client("rm", "-f", "execs")

    def test_logs_follow_until_the_end(self, daemon: Daemon) -> None:
        script = "for i in 1 2 3; do echo $i; sleep 0.1; done"
        daemon.client("run", "-d", "--name", "logs", *QUIET, "busybox", "sh", "-c", script)
        try:
            assert daemon.client("logs", "-f", "logs").stdout == b"1\n2\n3\n"
        finally:
            daemon.client("rm", "-f", "logs")

    def test_a_terminal_has_a_size_and_detaches(self, daemon: Daemon) -> None:
        command = ["docker", "run", "-it", "--name", "tty", *QUIET, "busybox", "sh"]
        pid, master = pty.fork()
        if pid == 0:
            os.environ.update(DOCKER_HOST=daemon.host, HOME=str(daemon.root), PATH=SEARCH_PATH)
            os.execvp(command[0], command)
        try:
            _read_until(master, b"# ")
            os.write(master, b"echo $((40+2)); tty\n")
            assert b"/dev/pts/0" in _read_until(master, b"/dev/pts/0")
            os.write(master, b"\x10\x11")
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            assert daemon.client("inspect", "-f", "{{.State.Running}}", "tty").stdout == b"true\n"
        finally:
            os.close(master)
            daemon.client("rm", "-f", "tty")

    def test_events_tell_of_a_run_in_order(self, daemon: Daemon) -> None:
        since = f"{time.time():.9f}"
        daemon.client("run", "--rm", "--name", "told", *QUIET, "busybox", "true")

        told = daemon.client(
            "events", "--since", since, "--until", f"{time.time():.9f}", "--format", "{{.Action}}"
        )

        actions = told.stdout.decode().split()
        wanted = ["create", "attach", "start", "die", "destroy"]
        assert [action for action in actions if action in wanted] == wanted

    def test_an_image_survives_save_and_load(self, daemon: Daemon) -> None:
        saved = daemon.client("save", "busybox").stdout
        daemon.client("tag", "busybox", "kept")
        daemon.client("rmi", "busybox")

        assert daemon.client("load", stdin=saved).stdout == b"Loaded image: busybox:latest\n"
        daemon.client("rmi", "kept")

    def test_an_unknown_image_is_pulled_and_not_found(self, daemon: Daemon) -> None:
        failed = daemon.client("run", "--pull", "never", "nosuch/image", check=False)

        assert failed.returncode == 125
        assert b"No such image: nosuch/image:latest" in failed.stderr


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestDockerPy:
    def test_run_and_remove(self, sdk: Any) -> None:
        assert sdk.containers.run("busybox", "echo hi", remove=True, network_mode="none") == b"hi\n"
        assert [image.tags for image in sdk.images.list("busybox")] == [["busybox:latest"]]

    def test_a_failure_has_the_exit_code_and_the_output(self, sdk: Any) -> None:
        with pytest.raises(ContainerError) as caught:
            sdk.containers.run(
                "busybox", ["sh", "-c", "echo no >&2; exit 3"], remove=True, network_mode="none"
            )

        error: Any = caught.value
        assert (error.exit_status, error.stderr) == (3, b"no\n")

    def test_an_attached_socket_without_upgrade_carries_both_ways(self, sdk: Any) -> None:
        container = sdk.containers.create("busybox", "cat", stdin_open=True, network_mode="none")
        try:
            attached = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
            container.start()
            attached._sock.sendall(b"hello")
            attached._sock.shutdown(socket.SHUT_WR)

            assert attached._sock.recv(100) == b"\x01\0\0\0\0\0\0\x05hello"
            attached.close()
        finally:
            container.remove(force=True)

    def test_exec_run_gives_both_streams_apart(self, sdk: Any) -> None:
        container = sdk.containers.run("busybox", "sleep 600", detach=True, network_mode="none")
        try:
            code, output = container.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True)
            assert (code, output) == (4, (b"out\n", b"err\n"))
        finally:
            container.remove(force=True)

    def test_what_is_not_there_is_not_found(self, sdk: Any) -> None:
        with pytest.raises(NotFound):
            sdk.containers.get("nosuch")
        with pytest.raises(ImageNotFound):
            sdk.images.get("nosuch")


class TestRaw:
    def test_input_in_the_segment_of_the_request_is_not_lost(self, daemon: Daemon) -> None:
        made = daemon.client("create", "-i", *QUIET, "busybox", "cat").stdout.decode().strip()
        head = (
            f"POST /containers/{made}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(20)
                sock.connect(str(daemon.socket))
                sock.sendall(head.encode() + b"early")
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(4096).startswith(b"HTTP/1.1 101 UPGRADED\r\n")
                daemon.client("start", made)
                assert b"".join(iter(lambda: sock.recv(100), b"")) == b"\x01\0\0\0\0\0\0\x05early"
        finally:
            daemon.client("rm", "-f", made)

    def test_wait_answers_its_head_before_the_container_starts(self, daemon: Daemon) -> None:
        made = daemon.client("create", *QUIET, "busybox", "sh", "-c", "exit 9").stdout.decode().strip()
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(20)
                sock.connect(str(daemon.socket))
                request = f"POST /containers/{made}/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n"
                sock.sendall(request.encode())
                assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
                daemon.client("start", made)
                assert b'{"StatusCode":9}' in sock.recv(4096)
        finally:
            daemon.client("rm", "-f", made)

    def test_attach_to_nothing_is_text_of_the_streams_type(self, daemon: Daemon) -> None:
        answer = raw(
            daemon,
            b"POST /containers/nosuch/attach?stream=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        )

        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert b"application/vnd.docker.raw-stream" in head
        assert body == b"No such container: nosuch\r\n"

    def test_a_swarm_is_not_here(self, daemon: Daemon) -> None:
        answer = raw(daemon, b"GET /v1.44/services HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"].startswith(
            "This node is not a swarm manager."
        )

    @pytest.mark.parametrize("kind", ["jsonl", "x-ndjson", "json-seq"])
    def test_events_come_in_the_form_asked_for(self, daemon: Daemon, kind: str) -> None:
        daemon.client("tag", "busybox", "busybox:other")
        daemon.client("rmi", "busybox:other")
        request = (
            f"GET /events?since=1&until={time.time():.9f} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Accept: application/{kind}\r\n\r\n"
        )

        head, _, body = raw(daemon, request.encode()).partition(b"\r\n\r\n")

        assert f"application/{kind}".encode() in head
        assert (b"\x1e{" in body) is (kind == "json-seq")

    def test_http2_is_spoken_on_the_same_socket(self, daemon: Daemon) -> None:
        words = [
            "-s",
            "--http2-prior-knowledge",
            "--unix-socket",
            str(daemon.socket),
            "-w",
            "%{http_version}",
        ]

        done = subprocess.run(["curl", *words, "http://d/_ping"], capture_output=True, check=True)

        assert done.stdout == b"OK2"


def _read_until(master: int, text: bytes) -> bytes:
    received = b""
    deadline = time.monotonic() + 20
    while text not in received:
        assert time.monotonic() < deadline, received
        if select.select([master], [], [], 1)[0]:
            received += os.read(master, 4096)
    return received
