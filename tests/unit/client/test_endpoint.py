"""Which daemon: flags, environment, contexts and the default socket, in their order."""

import hashlib
import json
from pathlib import Path

import pytest

from wherry.client.config import Config, load_config
from wherry.client.endpoint import TlsOptions, default_socket, parse_host, resolve_endpoint
from wherry.client.failures import InvalidEndpoint
from wherry.client.transports import ssh_command

VARIABLES = (
    "WHERRY_HOST",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_TLS",
    "DOCKER_CERT_PATH",
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(str(tmp_path), {})


def store_context(directory: str, name: str, host: str, **extra: object) -> Path:
    """Write a context as Docker's CLI does; its directory for TLS files."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = Path(directory) / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False} | extra
    document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (meta / "meta.json").write_text(json.dumps(document))
    return Path(directory) / "contexts" / "tls" / key / "docker"


def test_each_source_gives_way_to_the_one_before_it(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("current", "from-env", "flag"):
        store_context(config.directory, name, f"unix:///{name}")

    assert resolve_endpoint(config, hosts=[]).implied
    config.values["currentContext"] = "current"
    assert resolve_endpoint(config, hosts=[]).host == "unix:///current"
    monkeypatch.setenv("DOCKER_CONTEXT", "from-env")
    assert resolve_endpoint(config, hosts=[]).host == "unix:///from-env"
    monkeypatch.setenv("DOCKER_HOST", "unix:///docker-host")
    assert resolve_endpoint(config, hosts=[]).host == "unix:///docker-host"
    monkeypatch.setenv("WHERRY_HOST", "unix:///wherry-host")
    assert resolve_endpoint(config, hosts=[]).host == "unix:///wherry-host"
    assert resolve_endpoint(config, hosts=[], context="flag").host == "unix:///flag"
    assert resolve_endpoint(config, hosts=["unix:///host"]).host == "unix:///host"


def test_the_context_default_means_the_default_socket(config: Config) -> None:
    config.values["currentContext"] = "default"

    assert resolve_endpoint(config, hosts=[]).implied
    assert resolve_endpoint(config, hosts=[], context="default").implied


def test_two_hosts_or_a_host_and_a_context_are_refused(config: Config) -> None:
    with pytest.raises(InvalidEndpoint, match="specify only one -H"):
        resolve_endpoint(config, hosts=["unix:///a", "unix:///b"])
    with pytest.raises(InvalidEndpoint, match="cannot specify both --host and --context"):
        resolve_endpoint(config, hosts=["unix:///a"], context="b")


def test_a_context_that_is_not_stored_is_named_with_its_file(config: Config) -> None:
    with pytest.raises(
        InvalidEndpoint, match=r'context "nope": context not found: open .*/meta.json: no such'
    ):
        resolve_endpoint(config, hosts=[], context="nope")


def test_a_context_brings_its_tls_files(config: Config) -> None:
    tls = store_context(config.directory, "remote", "tcp://example.com:2376")
    tls.mkdir(parents=True)
    (tls / "ca.pem").touch()
    (tls / "cert.pem").touch()

    endpoint = resolve_endpoint(config, hosts=[], context="remote")

    assert endpoint.address == "example.com:2376"
    assert endpoint.tls is not None
    assert (endpoint.tls.ca, endpoint.tls.key, endpoint.tls.verify) == (str(tls / "ca.pem"), "", True)


def test_tls_of_the_environment_is_for_tcp_only(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")

    assert resolve_endpoint(config, hosts=["unix:///a"]).tls is None
    endpoint = resolve_endpoint(config, hosts=["tcp://example.com"])
    assert endpoint.address == "example.com:2376"
    assert endpoint.tls is not None
    assert endpoint.tls.verify


def test_the_flag_tls_encrypts_without_verifying(config: Config) -> None:
    endpoint = resolve_endpoint(config, hosts=["tcp://h:1"], tls=TlsOptions(enabled=True, ca="/ca"))

    assert endpoint.tls is not None
    assert (endpoint.tls.verify, endpoint.tls.ca) == (False, "/ca")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("unix:///run/x.sock", ("unix", "/run/x.sock")),
        ("tcp://1.2.3.4", ("tcp", "1.2.3.4:2375")),
        ("tcp://1.2.3.4:99/base", ("tcp", "1.2.3.4:99")),
        ("tcp://[::1]:99", ("tcp", "[::1]:99")),
        ("tcp://[::1]", ("tcp", "[::1]:2375")),
        ("1.2.3.4:5", ("tcp", "1.2.3.4:5")),
        ("tcp://:5", ("tcp", "localhost:5")),
        ("ssh://me@host:22/run/d.sock", ("ssh", "me@host:22/run/d.sock")),
    ],
)
def test_addresses_are_read_as_docker_reads_them(host: str, expected: tuple[str, str]) -> None:
    assert parse_host(host) == expected


@pytest.mark.parametrize("host", ["foo://bar", "npipe:////./pipe/x", "fd://", "tcp://h:x", "tcp://h:70000"])
def test_other_addresses_are_refused(host: str) -> None:
    with pytest.raises(InvalidEndpoint, match="invalid bind address format"):
        parse_host(host)


def test_the_default_socket_is_roots_or_the_users_own() -> None:
    assert default_socket({"XDG_RUNTIME_DIR": "/run/user/1"}, uid=0) == "/run/wherry/wherry.sock"
    assert default_socket({"XDG_RUNTIME_DIR": "/run/user/1"}, uid=1) == "/run/user/1/wherry/wherry.sock"
    assert default_socket({}, uid=1) == "/run/wherry/wherry.sock"


@pytest.mark.parametrize(
    ("address", "tail"),
    [
        ("host", ["--", "host", "docker", "system", "dial-stdio"]),
        ("me@host:2222", ["-l", "me", "-p", "2222", "--", "host", "docker", "system", "dial-stdio"]),
        (
            "host/run/d.sock",
            ["--", "host", "docker", "--host", "unix:///run/d.sock", "system", "dial-stdio"],
        ),
        ("[::1]:22", ["-p", "22", "--", "::1", "docker", "system", "dial-stdio"]),
        ("-oProxyCommand=x", ["--", "-oProxyCommand=x", "docker", "system", "dial-stdio"]),
    ],
)
def test_ssh_gets_user_and_host_as_arguments_that_cannot_be_options(address: str, tail: list[str]) -> None:
    assert ssh_command(address) == ["ssh", "-o", "ConnectTimeout=30", "-T", *tail]


def test_a_missing_configuration_is_empty_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert load_config(str(tmp_path)).values == {}

    (tmp_path / "config.json").write_text("{")

    with pytest.raises(InvalidEndpoint, match=r"error loading config file: .*/config.json"):
        load_config(str(tmp_path))
