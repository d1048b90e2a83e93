"""Registry credentials: where they come from, and what is sent."""

import base64
import json
import os
from pathlib import Path

import pytest

from wherry.client.auth import HUB_KEY, auth_header, credentials
from wherry.client.config import Config
from wherry.client.failures import InvalidEndpoint

SECRET = base64.b64encode(b"me:pass:word").decode()


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)


def config(**values: object) -> Config:
    return Config("/nowhere", values)


def helper(directory: Path, script: str) -> None:
    """A credential helper named `test`."""
    path = directory / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_nobody_is_an_empty_object() -> None:
    name, value = auth_header(config(), "example.com")

    assert name == "X-Registry-Auth"
    assert base64.urlsafe_b64decode(value) == b"{}"


def test_a_password_may_hold_a_colon() -> None:
    found = credentials(config(auths={"example.com": {"auth": SECRET}}), "example.com")

    assert found == {"username": "me", "password": "pass:word", "serveraddress": "example.com"}


def test_the_hub_has_a_key_of_its_own_and_old_keys_have_a_scheme() -> None:
    hub = config(auths={HUB_KEY: {"auth": SECRET}})
    old = config(auths={"https://example.com/v1/": {"identitytoken": "t"}})

    assert credentials(hub, "docker.io")["username"] == "me"
    assert credentials(old, "example.com") == {"identitytoken": "t", "serveraddress": "example.com"}


def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    inline = {"auths": {"example.com": {"auth": base64.b64encode(b"env:x").decode()}}}
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps(inline))

    assert credentials(config(auths={"example.com": {"auth": SECRET}}), "example.com")["username"] == "env"


def test_a_helper_gives_a_password_or_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    helper(tmp_path, """read server; echo '{"ServerURL":"'$server'","Username":"h","Secret":"s"}'""")

    assert credentials(config(credsStore="test"), "example.com")["password"] == "s"

    helper(tmp_path, """echo '{"Username":"<token>","Secret":"tok"}'""")

    assert credentials(config(credHelpers={"example.com": "test"}), "example.com")["identitytoken"] == "tok"


def test_a_helper_that_knows_nothing_is_nobody_and_one_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    helper(tmp_path, "echo credentials not found in native keychain; exit 1")

    assert credentials(config(credsStore="test"), "example.com") == {}

    helper(tmp_path, "echo locked; exit 2")

    with pytest.raises(InvalidEndpoint, match="exit status 2, out: `locked`"):
        credentials(config(credsStore="test"), "example.com")
    with pytest.raises(InvalidEndpoint, match="docker-credential-absent"):
        credentials(config(credsStore="absent"), "example.com")


@pytest.mark.parametrize("auth", ["!!!", base64.b64encode(b"\xff\xfe").decode()])
def test_an_entry_that_does_not_decode_is_refused_without_being_shown(auth: str) -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        credentials(config(auths={"example.com": {"auth": auth}}), "example.com")

    assert auth not in str(caught.value)
