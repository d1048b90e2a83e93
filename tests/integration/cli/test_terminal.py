"""The program on a real terminal: raw mode, size, detach keys, signals."""

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.cli.comparison import OURS
from tests.conformance.cli.scripted import IDS, routes
from tests.fakes.daemon import FakeDaemon, Reply, Request

CONTAINER = f"/containers/{IDS[3]}"
UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nApi-Version: 1.51\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)


class Screen:
    """A child on a terminal of its own."""

    def __init__(self, words: list[str], host: str, home: Path) -> None:
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.environ.update(DOCKER_HOST=host, HOME=str(home))
            os.execv(sys.executable, [*OURS, *words])
        self.resize(24, 80)
        self.shown = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.descriptor)[3] & (termios.ECHO | termios.ICANON)

    def type(self, data: bytes) -> None:
        os.write(self.descriptor, data)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Read the screen until `condition` holds."""
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, self.shown
            if select.select([self.descriptor], [], [], 0.02)[0]:
                try:
                    self.shown += os.read(self.descriptor, 65536)
                except OSError:
                    return

    def end(self) -> int:
        """The exit code, when it ends by itself."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        raise AssertionError("the program does not end")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.descriptor)


class Echo:
    """A container that echoes what is typed, and ends at `quit`."""

    def __init__(self) -> None:
        self.received = b""
        self.open = False

    def __call__(self, _request: Request, connection: socket.socket) -> None:
        connection.sendall(UPGRADED)
        self.open = True
        while data := connection.recv(65536):
            self.received += data
            connection.sendall(b"echo " + data)
            if b"quit" in self.received:
                break
        self.open = False


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def daemon(tmp_path: Path, echo: Echo) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "s.sock", routes()) as fake:
        fake.script(f"POST {CONTAINER}/attach", echo)
        fake.script(f"POST {CONTAINER}/resize", Reply(200))
        fake.script(f"POST {CONTAINER}/kill", Reply(204))
        yield fake


@pytest.fixture
def run(daemon: FakeDaemon, tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    screens: list[Screen] = []

    def start(*words: str) -> Screen:
        screens.append(Screen(list(words), daemon.host, tmp_path))
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def test_the_terminal_is_raw_while_the_container_runs_and_restored_after(
    run: Callable[..., Screen], echo: Echo
) -> None:
    screen = run("run", "-it", "good")
    screen.wait_for(lambda: echo.open and screen.is_raw())

    screen.type(b"a\x03b")
    screen.wait_for(lambda: b"echo " in screen.shown and echo.received == b"a\x03b")
    screen.type(b"quit")

    assert screen.end() == 7
    assert not screen.is_raw()


def test_the_size_of_the_window_follows(run: Callable[..., Screen], daemon: FakeDaemon, echo: Echo) -> None:
    screen = run("run", "-it", "good")
    screen.wait_for(lambda: echo.open and screen.is_raw())
    screen.resize(50, 132)

    screen.wait_for(lambda: f"POST {CONTAINER}/resize?h=50&w=132" in daemon.calls())

    screen.type(b"quit")
    assert screen.end() == 7


def test_the_detach_keys_leave_the_container_and_restore_the_terminal(
    run: Callable[..., Screen], echo: Echo
) -> None:
    screen = run("run", "-it", "good")
    screen.wait_for(lambda: echo.open and screen.is_raw())

    screen.type(b"x\x10\x11")

    assert screen.end() == 0
    assert echo.received == b"x"
    assert not screen.is_raw()


def test_a_signal_goes_to_the_container_and_not_to_us(
    run: Callable[..., Screen], daemon: FakeDaemon, echo: Echo
) -> None:
    screen = run("run", "-it", "good")
    screen.wait_for(lambda: echo.open and screen.is_raw())

    os.kill(screen.pid, signal.SIGTERM)

    screen.wait_for(lambda: f"POST {CONTAINER}/kill?signal=SIGTERM" in daemon.calls())
    screen.type(b"quit")
    assert screen.end() == 7


def test_without_the_proxy_a_signal_ends_us_with_the_terminal_restored(
    run: Callable[..., Screen], echo: Echo
) -> None:
    screen = run("run", "--sig-proxy=false", "-it", "good")
    screen.wait_for(lambda: echo.open and screen.is_raw())

    os.kill(screen.pid, signal.SIGTERM)

    assert screen.end() == 128 + signal.SIGTERM
    assert not screen.is_raw()


def test_a_start_that_fails_restores_the_terminal(run: Callable[..., Screen], daemon: FakeDaemon) -> None:
    daemon.script(f"POST {CONTAINER}/start", Reply(400, {"message": "exec: permission denied"}))
    screen = run("run", "-it", "good")

    screen.wait_for(lambda: b"permission denied" in screen.shown)

    assert screen.end() == 126
    assert not screen.is_raw()


def test_progress_on_a_terminal_has_a_line_for_each_layer(run: Callable[..., Screen]) -> None:
    screen = run("pull", "busybox")

    screen.wait_for(lambda: b"docker.io/library/busybox:latest" in screen.shown)

    assert screen.end() == 0
    assert b"\x1b[2K\raaaaaaaaaaaa: Downloading " in screen.shown
