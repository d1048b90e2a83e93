"""Versions, errors and connections of the Engine API, against a scripted daemon."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import FakeDaemon, Reply

from wherry.client.api import NEWEST_VERSION, Client
from wherry.client.endpoint import Endpoint
from wherry.client.failures import (
    BadRequestResponse,
    ConflictResponse,
    ConnectionFailed,
    ErrorResponse,
    NotFoundResponse,
    NotModifiedResponse,
)

_clients: list[Client] = []


def client_of(path: Path, **options: Any) -> Client:
    """A client of the unix socket `path`, closed after the test."""
    endpoint = Endpoint(f"unix://{path}", "unix", str(path), None, implied=False, context="default")
    _clients.append(Client(endpoint, **options))
    return _clients[-1]


@pytest.fixture(autouse=True)
def _close_clients() -> Iterator[None]:
    yield
    while _clients:
        _clients.pop().close()


@pytest.fixture(autouse=True)
def _no_version_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_API_VERSION", raising=False)


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


def test_a_newer_daemon_is_spoken_to_in_our_version_without_a_ping(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"GET /info": Reply(200, {"ID": "x"})}, api_version="1.99") as daemon:
        assert client_of(socket_path).json("GET", "/info") == {"ID": "x"}

    assert [(r.version, r.path) for r in daemon.requests] == [(NEWEST_VERSION, "/info")]


def test_an_older_daemon_refuses_once_and_gets_the_call_again_in_its_version(socket_path: Path) -> None:
    routes = {"POST /containers/create": Reply(201, {"Id": "1"})}

    with FakeDaemon(socket_path, routes, api_version="1.41") as daemon:
        client = client_of(socket_path)
        client.json("POST", "/containers/create", body={"Image": "a"})
        client.json("POST", "/containers/create", body={"Image": "b"})

    assert [r.version for r in daemon.requests] == [NEWEST_VERSION, "1.41", "1.41"]
    assert daemon.requests[1].json == {"Image": "a"}


def test_a_body_that_cannot_be_sent_twice_asks_for_the_version_first(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"POST /images/load": Reply(200, b"ok")}, api_version="1.41") as daemon:
        client_of(socket_path).send("POST", "/images/load", stream_body=iter([b"tar"]))

    assert [(r.method, r.path, r.version) for r in daemon.requests] == [
        ("HEAD", "/_ping", ""),
        ("POST", "/images/load", "1.41"),
    ]
    assert daemon.requests[1].body == b"tar"


def test_the_environment_fixes_the_version(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", "1.45")

    with FakeDaemon(socket_path, {"GET /info": Reply(200, {})}, api_version="1.44"):
        with pytest.raises(BadRequestResponse, match=r"client version 1\.45 is too new"):
            client_of(socket_path).json("GET", "/info")


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (Reply(404, {"message": "No such container: x"}), NotFoundResponse, "No such container: x"),
        (Reply(409, {"message": " trimmed \n"}), ConflictResponse, "trimmed"),
        (Reply(304), NotModifiedResponse, "not modified"),
        (Reply(500, b"plain text\n", {"Content-Type": "text/plain"}), ErrorResponse, "plain text"),
        (
            Reply(500, {"message": ""}),
            ErrorResponse,
            r"API returned a 500 \(Status\) but provided no error-message",
        ),
        (
            Reply(502, b""),
            ErrorResponse,
            "request returned 502 Status for API route and version .*/v1.51/x, check if the server supports",
        ),
    ],
)
def test_an_error_answer_is_a_failure_of_its_kind_with_the_daemons_text(
    socket_path: Path, reply: Reply, kind: type[ErrorResponse], text: str
) -> None:
    with FakeDaemon(socket_path, {"GET /x": reply}), pytest.raises(kind, match=text) as caught:
        client_of(socket_path).json("GET", "/x")

    assert str(caught.value).startswith("Error response from daemon: ")


def test_the_connection_is_used_again_after_success_and_after_an_error(socket_path: Path) -> None:
    routes = {"GET /x": Reply(200, {}), "GET /y": Reply(404, {"message": "no"})}

    with FakeDaemon(socket_path, routes) as daemon:
        client = client_of(socket_path)
        client.json("GET", "/x")
        with pytest.raises(NotFoundResponse):
            client.json("GET", "/y")
        client.json("GET", "/x")

    assert daemon.connection_count == 1


def test_a_connection_that_the_daemon_has_ended_is_not_used_again(socket_path: Path) -> None:
    client = client_of(socket_path)
    for number in (1, 2):  # the second daemon follows the first, as after a restart
        with FakeDaemon(socket_path, {"GET /x": Reply(200, {"daemon": number})}):
            assert client.json("GET", "/x") == {"daemon": number}
        socket_path.unlink(missing_ok=True)


def test_a_missing_socket_and_a_dead_one_have_dockers_texts(socket_path: Path) -> None:
    with pytest.raises(
        ConnectionFailed, match=r"failed to connect to the docker API at unix://.*no such file"
    ):
        client_of(socket_path).json("GET", "/info")

    with FakeDaemon(socket_path, {}):
        pass
    socket_path.touch()

    with pytest.raises(ConnectionFailed, match="Cannot connect to the Docker daemon at unix://"):
        client_of(socket_path).json("GET", "/info")


def test_a_daemon_is_started_once_when_there_is_none(socket_path: Path) -> None:
    daemon = FakeDaemon(socket_path, {"GET /info": Reply(200, {"ID": "started"})})
    starts: list[str] = []

    def start(endpoint: Endpoint) -> bool:
        starts.append(endpoint.address)
        daemon.__enter__()
        return True

    try:
        client = client_of(socket_path, start_daemon=start)
        assert client.json("GET", "/info") == {"ID": "started"}
    finally:
        daemon.__exit__(None, None, None)

    assert starts == [str(socket_path)]


def test_a_path_longer_than_a_socket_address_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    path = deep / "s.sock"

    with FakeDaemon(path, {"GET /info": Reply(200, {"ID": "deep"})}):
        assert client_of(path).json("GET", "/info") == {"ID": "deep"}
