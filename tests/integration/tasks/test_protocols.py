"""The protocols as they are spoken: transcripts, played against a real spawner and real shims."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.spec import docker_style_spec
from tests.integration.tasks.bench import Bench, remove_cgroups

from wherry.core.tasks import CreateTask, bundle
from wherry.shim import protocol
from wherry.spawner import client

ANY = object()


class Peer:
    """One side of a conversation, with blocking calls and a deadline."""

    def __init__(self, sock: Any) -> None:
        self.socket = socket.socket(fileno=sock.detach())
        self.socket.settimeout(20)

    def say(self, message: dict[str, Any], *fds: int) -> None:
        protocol.send(self.socket, message, fds)

    def hear(self, expected: dict[str, Any]) -> dict[str, Any]:
        """The next message, which has exactly the fields of `expected`, ANY of some value."""
        received = protocol.receive(self.socket)
        assert received is not None, f"the peer is gone instead of {expected}"
        message, fds = received
        for fd in fds:
            os.close(fd)
        assert {
            name: message.get(name) if expected[name] is not ANY else ANY for name in expected
        } == expected
        assert message.keys() == expected.keys()
        return message

    def hear_end(self) -> None:
        assert protocol.receive(self.socket) is None


class Stage:
    """A spawner and bundles."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.process = client.start(client.default_command())
        self._peers: list[Peer] = []
        self.spawner = self.peer(self.process.socket)
        self.spawner.hear({"hello": 1, "pid": self.process.pid})

    def peer(self, sock: Any) -> Peer:
        self._peers.append(Peer(sock))
        return self._peers[-1]

    def write_bundle(self, *args: str) -> Path:
        path = bundle.bundle_path(self.bench.exec_root / "tasks", "test", "task")
        spec = docker_style_spec(*args, cgroups_path=f"{self.bench.parent}/task")
        request = CreateTask(tenant="test", id="task", spec=spec, rootfs=[self.bench.writable()])
        bundle.write_bundle(path, request, str(self.bench.path / "seccomp"))
        return path

    def start_shim(self, path: Path, serial: int) -> Peer:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        call = {"call": "start_shim", "serial": serial, "tenant": "test", "id": "task", "bundle": str(path)}
        self.spawner.say(call, theirs.fileno())
        theirs.close()
        self.spawner.hear({"reply": serial, "pid": ANY})
        return self.peer(ours)

    def end(self) -> None:
        for peer in self._peers:
            peer.socket.close()
        os.waitpid(self.process.pid, 0)
        remove_cgroups(self.bench.parent)


HELLO = {
    "hello": 1,
    "tenant": "test",
    "id": "task",
    "shim_pid": ANY,
    "pid": ANY,
    "start_time": ANY,
    "started_at_ns": 0,
    "state": "created",
    "released": False,
    "exit": None,
    "log_offset": None,
    "execs": {},
}


@pytest.fixture
def stage(bench: Bench) -> Iterator[Stage]:
    stage = Stage(bench)
    yield stage
    stage.end()
    bench.threads.close()


def test_version_1_from_create_to_delete(stage: Stage) -> None:
    shim = stage.start_shim(stage.write_bundle("sh", "-c", "exit 3"), 1)

    hello = shim.hear(HELLO)
    shim.say({"call": "start", "serial": 7})
    shim.hear({"reply": 7, "pid": hello["pid"], "started_at_ns": ANY})
    ended = {"exit_code": 3, "at_ns": ANY, "oom_killed": False, "error": ""}
    told = shim.hear({"event": "exited", "exit": ANY})["exit"]
    assert told | {"at_ns": ANY} == ended
    shim.hear({"event": "released"})
    shim.say({"call": "delete", "serial": 8})
    shim.hear({"reply": 8})
    shim.hear_end()


def test_a_second_peer_is_told_how_things_stand(stage: Stage) -> None:
    path = stage.write_bundle("sleep", "1000")
    first = stage.start_shim(path, 1)
    first.hear(HELLO)
    first.say({"call": "start", "serial": 1})
    first.hear({"reply": 1, "pid": ANY, "started_at_ns": ANY})
    bundle_fd = os.open(path, os.O_PATH)

    second = stage.peer(protocol.connect(bundle_fd))

    second.hear(HELLO | {"state": "running", "started_at_ns": ANY})
    second.say({"call": "kill", "serial": 1, "signal": 9, "exec_id": None, "all": False})
    second.hear({"reply": 1})
    for peer in (first, second):
        peer.hear({"event": "exited", "exit": ANY})
        peer.hear({"event": "released"})
    os.close(bundle_fd)
    first.say({"call": "delete", "serial": 2})
    first.hear({"reply": 2})


def test_a_call_that_fails_says_what_kind_of_failure_it_is(stage: Stage) -> None:
    shim = stage.start_shim(stage.write_bundle("missing"), 1)

    failed = shim.hear({"failed": ANY})["failed"]
    assert (failed["kind"], failed["exit_code"]) == ("WherryError", 127)
    shim.hear_end()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ({"call": "fly"}, "InvalidArgument"),
        ({"no": "call"}, "InvalidArgument"),
        ({"call": "attach", "exec_id": None}, "InvalidArgument"),
        ({"call": "kill"}, "WherryError"),
        ({"call": "start_exec", "exec_id": "none"}, "NotFound"),
        ({"call": "resume"}, "Conflict"),
        ({"call": "delete"}, "Conflict"),
    ],
)
def test_nonsense_is_answered_and_harms_nothing(stage: Stage, call: dict[str, Any], kind: str) -> None:
    shim = stage.start_shim(stage.write_bundle("sleep", "1000"), 1)
    shim.hear(HELLO)

    shim.say(call | {"serial": 5})

    assert shim.hear({"reply": 5, "error": ANY})["error"]["kind"] == kind
    shim.say({"call": "kill", "serial": 6, "signal": 9, "exec_id": None, "all": False})
    shim.hear({"reply": 6})
    shim.hear({"event": "exited", "exit": ANY})
    shim.hear({"event": "released"})
    shim.say({"call": "delete", "serial": 7})
    shim.hear({"reply": 7})


@pytest.mark.parametrize("packet", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"document":true}'])
def test_a_peer_that_talks_no_json_is_dropped_and_harms_nothing(stage: Stage, packet: bytes) -> None:
    path = stage.write_bundle("sleep", "1000")
    shim = stage.start_shim(path, 1)
    shim.hear(HELLO)
    bundle_fd = os.open(path, os.O_PATH)
    stranger = stage.peer(protocol.connect(bundle_fd))
    stranger.hear(HELLO)

    stranger.socket.send(packet)

    stranger.hear_end()
    shim.say({"call": "kill", "serial": 6, "signal": 9, "exec_id": None, "all": False})
    shim.hear({"reply": 6})
    shim.hear({"event": "exited", "exit": ANY})
    shim.hear({"event": "released"})
    shim.say({"call": "delete", "serial": 7})
    shim.hear({"reply": 7})
    os.close(bundle_fd)


def test_a_second_shim_for_a_bundle_ends_without_a_word(stage: Stage) -> None:
    path = stage.write_bundle("sleep", "1000")
    shim = stage.start_shim(path, 1)
    shim.hear(HELLO)
    record = (path / "record.json").read_bytes()

    stage.start_shim(path, 2).hear_end()

    assert (path / "record.json").read_bytes() == record
    shim.say({"call": "kill", "serial": 6, "signal": 9, "exec_id": None, "all": False})
    shim.hear({"reply": 6})
    shim.hear({"event": "exited", "exit": ANY})
    shim.hear({"event": "released"})
    shim.say({"call": "delete", "serial": 7})
    shim.hear({"reply": 7})


def test_a_shim_whose_bundle_is_gone_ends_without_a_word(stage: Stage) -> None:
    stage.start_shim(stage.bench.path / "nowhere", 1).hear_end()


def test_an_operation_answers_when_it_has_ended(stage: Stage) -> None:
    bundle = stage.bench.path / "of-a-shim-that-never-was"
    bundle.mkdir()
    stage.spawner.say(
        {"call": "operation", "serial": 1, "operation": "clean_bundle", "arguments": {"bundle": str(bundle)}}
    )

    result = stage.spawner.hear({"reply": 1, "result": ANY})["result"]

    assert result["exit"]["exit_code"] == 137
    assert result["exit"]["error"] == "shim lost"
    assert result["execs"] == {}


def test_an_unknown_operation_is_refused(stage: Stage) -> None:
    stage.spawner.say({"call": "operation", "serial": 1, "operation": "fly", "arguments": {}})

    assert stage.spawner.hear({"reply": 1, "error": ANY})["error"]["kind"] == "InvalidArgument"


def test_a_document_beyond_a_packet_travels_all_the_same() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        message = {"text": "x" * 1_000_000}

        protocol.send(ours, message)

        received = protocol.receive(theirs)
        assert received is not None
        assert json.dumps(received[0]) == json.dumps(message)
        assert received[1] == []
