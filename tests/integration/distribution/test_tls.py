"""TLS of registries: verified, unless this very host and port is listed."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.registry import FakeRegistry
from tests.integration.distribution.conftest import run

from wherry.core.remotes import RegistryOptions
from wherry.core.remotes.registry import Registry
from wherry.core.threads import Threads
from wherry.errors import Unavailable
from wherry.oci.descriptor import Descriptor
from wherry.oci.reference import parse_normalized

HOST = socket.gethostname()
"""A name of this machine that is not `localhost`, so that no exception is made for it."""
FAST = {"attempts": 1, "backoff_s": 0.01, "connect_timeout_s": 5.0}


def certificate(directory: Path, name: str) -> Path:
    """A self-signed certificate with its key in one file."""
    path = directory / f"{name}.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=DNS:{name}", "-keyout", f"{directory}/{name}.key", "-out", str(path),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@pytest.fixture
def threads() -> Iterator[Threads]:
    pools = Threads(transfer=2)
    yield pools
    pools.close()


@pytest.fixture
def secure(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FakeRegistry]:
    """A registry behind TLS; its certificate is for the name in the parameter, by default its own."""
    name = getattr(request, "param", HOST)
    path = certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, tmp_path / f"{name}.key")
    with FakeRegistry(tls=context) as fake:
        fake.add_image("team/app", "1", [b"layer"])
        authority = tmp_path / "certs.d" / f"{HOST}:{fake.port}"
        authority.mkdir(parents=True)
        (authority / "ca.crt").write_bytes(path.read_bytes())
        yield fake


async def resolve(threads: Threads, fake: FakeRegistry, options: RegistryOptions) -> Descriptor:
    reference = parse_normalized(f"{HOST}:{fake.port}/team/app:1")
    async with Registry(reference, credentials=None, options=options, threads=threads) as registry:
        return (await registry.resolve(reference)).descriptor


def test_an_unknown_authority_is_refused(secure: FakeRegistry, threads: Threads) -> None:
    with pytest.raises(Unavailable, match="certificate verify failed"):
        run(resolve(threads, secure, RegistryOptions(**FAST)))

    assert not secure.requests


def trusting(path: Path) -> RegistryOptions:
    """With two directories of certificates, the first of which is missing."""
    return RegistryOptions(certificates=(path / "none", path / "certs.d"), **FAST)


def test_a_configured_authority_is_trusted(secure: FakeRegistry, threads: Threads, tmp_path: Path) -> None:
    assert run(resolve(threads, secure, trusting(tmp_path)))


@pytest.mark.parametrize("secure", ["other.example"], indirect=True)
def test_a_certificate_of_another_host_is_refused(
    secure: FakeRegistry, threads: Threads, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="certificate verify failed"):
        run(resolve(threads, secure, trusting(tmp_path)))


def test_a_listed_registry_needs_no_certificate(secure: FakeRegistry, threads: Threads) -> None:
    assert run(resolve(threads, secure, RegistryOptions(insecure=(f"{HOST}:{secure.port}",), **FAST)))

    with pytest.raises(Unavailable, match="certificate verify failed"):
        run(resolve(threads, secure, RegistryOptions(insecure=(f"{HOST}:1",), **FAST)))


def test_plain_http_is_never_tried_where_tls_is_due(threads: Threads) -> None:
    with FakeRegistry() as plain:
        with pytest.raises(Unavailable):
            run(resolve(threads, plain, RegistryOptions(**FAST)))

        assert not plain.requests
