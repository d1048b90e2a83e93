"""TLS with a half-close, and ssh through a program in ssh's place."""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.cli.comparison import SOURCE
from tests.fakes.daemon import FakeDaemon, Reply

from wherry.cli.conversation import EOF, Conversation
from wherry.client.api import Client, Hijacked
from wherry.client.endpoint import Endpoint, Tls
from wherry.client.failures import ConnectionFailed
from wherry.client.transports import connect


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with cert.pem and key.pem for `localhost`, its own authority."""
    directory = tmp_path_factory.mktemp("tls")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost"]
    try:
        subprocess.run(words, cwd=directory, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return directory


class TlsServer:
    """Reads to the end of the client's direction, then answers with what it got, twice."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        raw, _ = self._listener.accept()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        received = b""
        with raw:
            ready = False
            while True:
                try:
                    if not ready:
                        tls.do_handshake()
                        ready = True
                    data = tls.read(65536)
                    if not data:
                        break
                    received += data
                    continue
                except ssl.SSLWantReadError:
                    pass
                except (ssl.SSLZeroReturnError, ssl.SSLError):
                    break
                raw.sendall(outgoing.read())
                data = raw.recv(65536)
                if not data:
                    break
                incoming.write(data)
            if ready:
                tls.write(received + received)
            raw.sendall(outgoing.read())

    def close(self) -> None:
        self._listener.close()
        self._thread.join(timeout=5)


@pytest.fixture
def server(certificate: Path) -> Iterator[TlsServer]:
    tls_server = TlsServer(certificate)
    yield tls_server
    tls_server.close()


def tls_endpoint(server: TlsServer, ca: str, *, verify: bool = True) -> Endpoint:
    address = f"localhost:{server.port}"
    return Endpoint(
        f"tcp://{address}", "tcp", address, Tls(ca, "", "", verify=verify), implied=False, context=""
    )


@pytest.mark.parametrize("size", [3, 300_000])
def test_the_output_of_a_tls_peer_goes_on_after_our_input_has_ended(
    server: TlsServer, certificate: Path, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)
    (tmp_path / "in").write_bytes(data)
    stream = connect(tls_endpoint(server, str(certificate / "cert.pem")))

    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        ended = Conversation(
            Hijacked(stream, b"", ""),
            input_fd=source.fileno(),
            stdout_fd=target.fileno(),
            stderr_fd=target.fileno(),
            framed=False,
        ).run()
    stream.close()

    assert ended == EOF
    assert (tmp_path / "out").read_bytes() == data + data


def test_output_that_came_in_one_piece_is_shown_at_once(certificate: Path, tmp_path: Path) -> None:
    """Several TLS records arrive in one read of the socket, and then nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    shown = threading.Event()
    target = tmp_path / "out"

    def serve() -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as tls:
            for number in range(3):
                tls.sendall(b"%d" % number * 100)
            for _ in range(200):
                if target.exists() and target.stat().st_size == 300:
                    shown.set()
                    break
                time.sleep(0.02)

    server = threading.Thread(target=serve)
    server.start()
    address = f"localhost:{listener.getsockname()[1]}"
    material = Tls(str(certificate / "cert.pem"), "", "", verify=True)
    stream = connect(Endpoint(f"tcp://{address}", "tcp", address, material, implied=False, context=""))
    time.sleep(0.2)  # let the records gather in the socket

    with target.open("wb") as out:
        Conversation(
            Hijacked(stream, b"", ""),
            input_fd=-1,
            stdout_fd=out.fileno(),
            stderr_fd=out.fileno(),
            framed=False,
        ).run()
    stream.close()
    server.join()
    listener.close()

    assert shown.is_set()


def test_a_certificate_of_nobody_we_trust_is_refused(server: TlsServer) -> None:
    with pytest.raises(ConnectionFailed, match="certificate verify failed"):
        connect(tls_endpoint(server, ""))


def test_without_verification_any_certificate_will_do(server: TlsServer) -> None:
    stream = connect(tls_endpoint(server, "", verify=False))
    stream.sendall(b"abc")
    stream.shutdown_write()

    received = b""
    while data := stream.recv(100):
        received += data
    stream.close()

    assert received == b"abcabc"


def test_ssh_reaches_the_daemon_through_dial_stdio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n'
        f'exec {sys.executable} -c \'import sys; sys.path.insert(0, "{SOURCE}"); '
        f"from wherry.cli.main import main; sys.exit(main(sys.argv[1:]))' "
        f"-H unix://{tmp_path}/s.sock system dial-stdio\n"
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    endpoint = Endpoint("ssh://me@host", "ssh", "me@host", None, implied=False, context="")

    with FakeDaemon(tmp_path / "s.sock", {"GET /info": Reply(200, {"ID": "far away"})}):
        client = Client(endpoint)
        assert client.json("GET", "/info") == {"ID": "far away"}
        client.close()

    words = (tmp_path / "arguments").read_text()
    assert words == "-o ConnectTimeout=30 -T -l me -- host docker system dial-stdio\n"
