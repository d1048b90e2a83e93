"""Small rules: names, detach keys, tmpfs options, failures, log attributes, volume names."""

from __future__ import annotations

import pytest
from tests.unit.engine.test_spec import record

from wherry.api.types import HostConfig, LogConfig
from wherry.core.tasks import StartFailed
from wherry.engine.detach_keys import parse_detach_keys
from wherry.engine.failures import exec_failure, start_failure
from wherry.engine.log_attributes import log_attributes
from wherry.engine.names import checked_name, generate_name
from wherry.engine.tmpfs import tmpfs_options
from wherry.engine.volumes.store import check_name
from wherry.errors import InvalidArgument, Unavailable


class TestNames:
    @pytest.mark.parametrize("name", ["", "/", "a", "-a", "a b", "a/b", "é1", "a\n", "..", "a" + "\0"])
    def test_refused(self, name: str) -> None:
        with pytest.raises(InvalidArgument) as failure:
            checked_name(name)

        assert str(failure.value) == (
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )

    def test_taken(self) -> None:
        assert checked_name("/a-1_.x") == "a-1_.x"

    def test_generated_ones_are_valid_and_free(self) -> None:
        taken: set[str] = set()
        for _ in range(200):
            name = generate_name(taken.__contains__)
            assert checked_name(name) == name
            assert name not in taken
            taken.add(name)

    def test_a_number_follows_when_all_are_taken(self) -> None:
        assert generate_name(lambda name: not name[-1].isdigit())[-1].isdigit()

    @pytest.mark.parametrize("name", ["", "a", ".a", "a/b", "../a", "a b", "x" * 256])
    def test_volumes(self, name: str) -> None:
        with pytest.raises(InvalidArgument):
            check_name(name)


class TestDetachKeys:
    @pytest.mark.parametrize(
        ("text", "keys"), [(None, b"\x10\x11"), ("", b"\x10\x11"), ("ctrl-a,x", b"\x01x"), ("ctrl-@", b"\0")]
    )
    def test_known(self, text: str | None, keys: bytes) -> None:
        assert parse_detach_keys(text) == keys

    @pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", ",", "é"])
    def test_unknown(self, text: str) -> None:
        with pytest.raises(InvalidArgument):
            parse_detach_keys(text)


class TestTmpfs:
    def test_the_last_of_contradicting_options_counts(self) -> None:
        assert tmpfs_options(["exec", "size=1m", "ro", "rw"]) == ("exec", "nosuid", "nodev", "size=1m", "rw")

    @pytest.mark.parametrize("word", ["bind", "size", "size=", "context=x"])
    def test_unknown(self, word: str) -> None:
        with pytest.raises(InvalidArgument):
            tmpfs_options([word])


class TestFailures:
    @pytest.mark.parametrize(
        ("cause", "code", "kept", "is_request"),
        [
            ('exec: "x": executable file not found in $PATH', 127, 127, True),
            ('exec: "/x": permission denied', 126, 126, True),
            ('exec: "/x": is a directory', 126, 126, True),
            ('error mounting "/a" to rootfs at "/b": not a directory', 128, 127, True),
            ("open /x: no such file or directory", 128, 127, False),
            ("out of pids", 128, 128, False),
        ],
    )
    def test_kinds_and_exit_codes(self, cause: str, code: int, kept: int, is_request: bool) -> None:
        failure = start_failure(StartFailed(cause, exit_code=code))

        assert failure.exit_code == kept
        assert isinstance(failure.error, InvalidArgument) is is_request
        assert "error during container init: " + cause in str(failure.error)

    def test_texts_that_clients_look_for(self) -> None:
        directory = str(start_failure(StartFailed('exec: "/x": is a directory', exit_code=126)).error)
        mount = str(start_failure(StartFailed('error mounting "a": not a directory', exit_code=128)).error)
        exec_text = str(exec_failure(StartFailed("x", exit_code=127)).error)

        assert directory.endswith(": is a directory: permission denied")
        assert "Are you trying to mount a directory onto a file (or vice-versa)?" in mount
        assert exec_text == "OCI runtime exec failed: exec failed: unable to start container process: x"

    def test_other_failures_keep_their_kind(self) -> None:
        assert isinstance(start_failure(Unavailable("x")).error, Unavailable)


def test_log_attributes_are_those_that_were_asked_for() -> None:
    options = {"labels": "a,b", "env-regex": "^LC_", "tag": "{{.Name}}/{{.ID}}/{{.Nope}}"}
    host_config = HostConfig(log_config=LogConfig(type="json-file", config=options))

    attributes = log_attributes(
        record(labels={"a": "1", "c": "2"}, env=["LC_ALL=C", "X=1"], host_config=host_config)
    )

    assert attributes == {"a": "1", "LC_ALL": "C", "tag": "box/0123456789ab/{{.Nope}}"}
