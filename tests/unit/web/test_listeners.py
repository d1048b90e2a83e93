"""Addresses and the sockets bound to them."""

import os
import socket
from pathlib import Path

import pytest

from wherry.errors import Conflict, InvalidArgument, NotFound, Unavailable
from wherry.web.listeners import Address, listen, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("unix://relative", "unix://relative"),
        ("tcp://127.0.0.1:99", "tcp://127.0.0.1:99"),
        ("tcp://[::1]:99", "tcp://[::1]:99"),
        ("tcp://host", "tcp://host:2375"),
        ("tcp://:99", "tcp://127.0.0.1:99"),
        ("127.0.0.1:99", "tcp://127.0.0.1:99"),
        ("fd://", "fd://"),
        ("fd://name", "fd://name"),
    ],
)
def test_an_address_is_read(text: str, expected: str) -> None:
    assert str(parse_address(text)) == expected


@pytest.mark.parametrize(
    "text", ["unix://", "http://x", "tcp://x:y", "tcp://x:65536", "tcp://x:-1", "npipe://x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid bind address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("x", False),
    ],
)
def test_loopback_is_told_apart(host: str, expected: bool) -> None:
    assert Address("tcp", host=host, port=1).is_loopback is expected


def test_a_socket_is_for_its_group_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "socket"

    [sock] = listen(Address("unix", path=str(path)))

    with sock:
        assert path.stat().st_mode & 0o777 == 0o660


def test_a_socket_that_nobody_answers_on_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listen(Address("unix", path=path))[0].close()

    [sock] = listen(Address("unix", path=path))

    with sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_socket_that_somebody_answers_on_is_left(tmp_path: Path) -> None:
    address = Address("unix", path=str(tmp_path / "socket"))
    [sock] = listen(address)

    with sock, pytest.raises(Conflict, match="another process answers there"):
        listen(address)


def test_a_file_in_the_way_is_left(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("mine")

    with pytest.raises(Conflict, match="is no socket"):
        listen(Address("unix", path=str(path)))

    assert path.read_text() == "mine"


def test_a_path_that_the_kernel_cannot_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="longer than 107 bytes"):
        listen(Address("unix", path=str(tmp_path / ("x" * 108))))


def test_an_unknown_group_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="group no-such-group not found"):
        listen(Address("unix", path=str(tmp_path / "socket")), group="no-such-group")


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(
            Unavailable, match=f"cannot listen on tcp://127.0.0.1:{port}: Address already in use"
        ):
            listen(Address("tcp", host="127.0.0.1", port=port))


def test_a_descriptor_that_was_not_passed_is_named() -> None:
    assert "LISTEN_PID" not in os.environ

    with pytest.raises(NotFound, match="no socket activated file descriptor for fd://x"):
        listen(Address("fd", path="x"))
