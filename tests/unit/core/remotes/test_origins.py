"""URLs, insecure registries and the neighbourhoods of addresses."""

import pytest

from wherry.core.remotes import RefusedAddress, RegistryOptions
from wherry.core.remotes.origins import (
    Location,
    Neighbourhood,
    Origin,
    address_class,
    is_insecure,
    parse_url,
    registry_origins,
    server_host,
)

NOTHING = RegistryOptions()


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "//host/x", "ftp://h/", "file:///etc/passwd", "http://", "http:///x", "http://a@b/", "http://a:b@c/",
        "http://h:99999/", "http://h:x/", "http://h/a b", "http://h/\n", "http://h\\@evil/", "http://[::1/", "http://\u00e9/",
        "http://h/" + "a" * 20_000,
    ],
)  # fmt: skip
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(RefusedAddress):
        parse_url(url)


def test_a_url_falls_into_origin_and_target() -> None:
    assert parse_url("https://Host.Example:8443/a/b?c=d#e") == Location(
        Origin("https", "host.example", 8443), "/a/b?c=d"
    )


def test_a_relative_url_stays_at_its_origin() -> None:
    base = parse_url("http://h:5000/v2/a/blobs/uploads/")

    assert str(parse_url("/v2/a?x=1", base)) == "http://h:5000/v2/a?x=1"
    assert parse_url("//evil/x", base).origin == Origin("http", "evil", 80)


def test_docker_hub_has_its_own_host() -> None:
    assert registry_origins("docker.io", NOTHING) == (Origin("https", "registry-1.docker.io", 443),)


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"])
def test_plain_http_is_for_the_loopback(host: str) -> None:
    assert [origin.scheme for origin in registry_origins(host, NOTHING)] == ["https", "http"]


@pytest.mark.parametrize("host", ["10.0.0.1:5000", "example.com", "localhost.evil.com", "127.0.0.1.evil.com"])
def test_plain_http_is_for_nothing_else(host: str) -> None:
    assert [origin.scheme for origin in registry_origins(host, NOTHING)] == ["https"]


@pytest.mark.parametrize(
    ("entry", "host", "insecure"),
    [
        ("reg.local:5000", "reg.local:5000", True),
        ("reg.local:5000", "reg.local", False),
        ("reg.local", "reg.local", True),
        ("reg.local", "reg.local:5000", False),
        ("10.1.0.0/16", "10.1.2.3:5000", True),
        ("10.1.0.0/16", "10.2.2.3:5000", False),
        ("10.1.0.0/16", "reg.local", False),
    ],
)
def test_a_listed_registry_is_insecure_at_that_very_port(entry: str, host: str, insecure: bool) -> None:
    origin = parse_url(f"https://{host}").origin

    assert is_insecure(origin, RegistryOptions(insecure=(entry,))) is insecure


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", "public"), ("10.0.0.1", "private"), ("192.168.1.1", "private"),
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "loopback"), ("169.254.169.254", "link-local"), ("::1", "loopback"),
        ("fe80::1", "link-local"), ("fe80::1%eth0", "link-local"),
        ("::ffff:169.254.169.254", "link-local"), ("fd00::1", "private"),
        ("224.0.0.1", "invalid"), ("2606:4700::1", "public"), ("100.64.0.1", "private"),
    ],
)  # fmt: skip
def test_every_address_has_a_neighbourhood(address: str, expected: str) -> None:
    assert address_class(address) == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "0", "2130706433", "localhost", "169.254.169.254", "10.0.0.1"])
def test_a_public_registry_leads_to_no_local_address(host: str) -> None:
    neighbourhood = Neighbourhood()

    with pytest.raises(RefusedAddress):
        neighbourhood.resolve(host, 80)


def test_a_local_registry_may_lead_to_its_neighbour_but_not_to_metadata() -> None:
    neighbourhood = Neighbourhood()
    neighbourhood.trust(Origin("http", "127.0.0.1", 5000))
    neighbourhood.resolve("127.0.0.1", 5000)

    assert neighbourhood.resolve("localhost", 5001)
    with pytest.raises(RefusedAddress):
        neighbourhood.resolve("169.254.169.254", 80)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", ""),
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://Reg.Example:5000/v2/", "reg.example:5000"),
        ("reg.example.evil", "reg.example.evil"),
    ],
)
def test_a_server_address_names_one_registry(address: str, expected: str) -> None:
    assert server_host(address) == expected
