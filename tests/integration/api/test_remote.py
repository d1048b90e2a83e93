"""The docker CLI over TLS: the daemon is in the path, and half-closed streams still lose nothing."""

import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.daemon import SEARCH_PATH, Daemon

QUIET = ("--network", "none", "--log-driver", "none")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def openssl(path: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=path, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, the daemon's certificate, and a client's under the names that the docker CLI looks for."""
    path = tmp_path_factory.mktemp("keys")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(
        path, "req", "-x509", *new_key, "-subj", "/CN=ca", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"
    )
    for name, use in (("server", "serverAuth"), ("", "clientAuth")):
        prefix = f"{name}-" if name else ""
        (path / "ext").write_text(f"extendedKeyUsage={use}\nsubjectAltName=IP:127.0.0.1\n")
        openssl(path, "req", *new_key, "-subj", f"/CN=x{name}", "-keyout", f"{prefix}key.pem", "-out", "csr")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext"]
        openssl(path, "x509", "-req", "-in", "csr", *signed, "-out", f"{prefix}cert.pem")
    return path


class Remote:
    """The docker CLI with a daemon reached over TLS."""

    def __init__(self, port: int, keys: Path) -> None:
        self.port, self.keys = port, keys

    def client(
        self, *words: str, stdin: bytes | None = None, tls: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        env = {"PATH": SEARCH_PATH, "HOME": str(self.keys), "DOCKER_HOST": f"tcp://127.0.0.1:{self.port}"}
        if tls:
            env |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.keys)}
        return subprocess.run(["docker", *words], env=env, input=stdin, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def remote(keys: Path) -> Iterator[Remote]:
    port = free_port()
    arguments = (
        "-H", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", f"{keys}/ca.pem",
        "--tlscert", f"{keys}/server-cert.pem", "--tlskey", f"{keys}/server-key.pem",
    )  # fmt: skip
    with Daemon(arguments=arguments) as daemon:
        daemon.import_busybox()
        yield Remote(port, keys)


def test_a_run_gives_output_and_exit_code(remote: Remote) -> None:
    done = remote.client("run", "--rm", *QUIET, "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")

    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_output_after_the_end_of_input_arrives(remote: Remote, size: int) -> None:
    sent = os.urandom(size)

    done = remote.client("run", "--rm", "-i", *QUIET, "busybox", "sh", "-c", "cat; echo end", stdin=sent)

    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent + b"end\n").digest()


def test_exec_reads_to_the_end_of_input(remote: Remote) -> None:
    remote.client("run", "-d", "--name", "remote", *QUIET, "busybox", "sleep", "600")
    try:
        done = remote.client("exec", "-i", "remote", "sh", "-c", "cat; exit 6", stdin=b"in\n")
        assert (done.returncode, done.stdout) == (6, b"in\n")
    finally:
        remote.client("rm", "-f", "remote")


def test_a_client_without_a_certificate_is_not_served(remote: Remote) -> None:
    assert remote.client("version", tls=False).returncode == 1


def test_plain_tcp_on_loopback_is_served_and_web_pages_are_not() -> None:
    port = free_port()
    with Daemon(arguments=("-H", f"tcp://127.0.0.1:{port}")) as daemon:
        url = f"http://127.0.0.1:{port}"
        fine = subprocess.run(["curl", "-s", f"{url}/_ping"], capture_output=True, check=True)
        page = ["-s", "-H", "Origin: http://evil.example", "-X", "POST", f"{url}/containers/create"]
        refused = subprocess.run(["curl", *page], capture_output=True, check=True)
        rebound = subprocess.run(
            ["curl", "-s", "-H", "Host: evil.example", f"{url}/info"], capture_output=True, check=True
        )

        assert fine.stdout == b"OK"
        assert b"requests from web pages are not accepted" in refused.stdout
        assert b"does not answer to the name evil.example" in rebound.stdout
        assert "whoever reaches this address is root on this machine" in daemon.log()
