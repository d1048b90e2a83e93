"""TLS that half-closes, and whom it lets in."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from wherry.errors import InvalidArgument
from wherry.web.hijack import HijackedConnection
from wherry.web.messages import Hijack, Request, Response
from wherry.web.server import Server
from wherry.web.tls import server_context

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


def openssl(path: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=path, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA with a server and a client, and a stranger."""
    path = tmp_path_factory.mktemp("keys")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "stranger"):
        subject = ["-subj", f"/CN={name}", "-days", "2"]
        openssl(path, "req", "-x509", *curve, *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    for name, use in (("server", "serverAuth"), ("client", "clientAuth"), ("wronguse", "serverAuth")):
        (path / f"{name}.ext").write_text(f"extendedKeyUsage={use}\nsubjectAltName=DNS:localhost\n")
        openssl(path, "req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        openssl(
            path,
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            *signed,
            "-out",
            f"{name}.pem",
            "-extfile",
            f"{name}.ext",
        )
    return path


async def with_server(
    handler: Callable[[Request], object], context: ssl.SSLContext, client: Callable[[int], object]
) -> object:
    """What `client` returns, run on a thread of its own against a server of `handler`."""
    server = Server(handler)  # type: ignore[arg-type]
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await server.listen(sock, tls=context)
    try:
        async with asyncio.timeout(20):
            return await asyncio.to_thread(client, port)
    finally:
        await server.close(grace_s=0)


def connect(port: int, keys: Path, name: str | None = "client") -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(keys / "ca.pem"))
    if name:
        context.load_cert_chain(keys / f"{name}.pem", keys / f"{name}.key")
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    return context.wrap_socket(raw, server_hostname="localhost")


class EndlessClient:
    """A TLS client over memory buffers, which can send its close_notify and still read."""

    def __init__(self, port: int, keys: Path) -> None:
        context = ssl.create_default_context(cafile=str(keys / "ca.pem"))
        context.load_cert_chain(keys / "client.pem", keys / "client.key")
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._in.write(self._sock.recv(65536))
        self._flush()

    def _flush(self) -> None:
        if data := self._out.read():
            self._sock.sendall(data)

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def half_close(self) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def read_all(self) -> bytes:
        received = b""
        while True:
            try:
                data = self._tls.read(65536)
                if not data:
                    return received
                received += data
            except ssl.SSLWantReadError:
                data = self._sock.recv(65536)
                if not data:
                    return received
                self._in.write(data)
            except ssl.SSLZeroReturnError:
                return received

    def close(self) -> None:
        self._sock.close()


def test_a_client_with_a_certificate_of_the_ca_is_served(keys: Path) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, [], request.channel.encode())

    def client(port: int) -> bytes:
        with connect(port, keys) as tls:
            tls.sendall(REQUEST.replace(b"Host", b"Connection: close\r\nHost"))
            return b"".join(iter(lambda: tls.recv(65536), b""))

    context = server_context(
        str(keys / "server.pem"), str(keys / "server.key"), client_ca=str(keys / "ca.pem")
    )

    answer = asyncio.run(with_server(handler, context, client))

    assert isinstance(answer, bytes)
    assert answer.endswith(b"\r\n\r\ntls")


@pytest.mark.parametrize("name", [None, "stranger", "wronguse"])
def test_another_client_is_not(keys: Path, name: str | None) -> None:
    async def handler(request: Request) -> Response:
        raise AssertionError("served a stranger")

    def client(port: int) -> bytes:
        try:
            with connect(port, keys, name) as tls:
                tls.sendall(REQUEST)
                return tls.recv(100)
        except (ssl.SSLError, ConnectionError):
            return b""

    context = server_context(
        str(keys / "server.pem"), str(keys / "server.key"), client_ca=str(keys / "ca.pem")
    )

    assert asyncio.run(with_server(handler, context, client)) == b""


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_output_goes_on_after_the_end_of_input(keys: Path, size: int) -> None:
    async def serve(connection: HijackedConnection) -> None:
        fd, early = await connection.detach()
        with socket.socket(fileno=fd) as sock:
            sock.setblocking(True)
            await asyncio.to_thread(echo_at_end, sock, early)

    def echo_at_end(sock: socket.socket, received: bytes) -> None:
        while data := sock.recv(65536):
            received += data
        sock.sendall(received[::-1])

    async def handler(request: Request) -> Hijack:
        return Hijack(200, "OK", [], serve)

    def client(port: int) -> bytes:
        tls = EndlessClient(port, keys)
        try:
            tls.send(REQUEST + b"a")
            tls.send(b"b" * size)
            tls.half_close()
            return tls.read_all()
        finally:
            tls.close()

    context = server_context(
        str(keys / "server.pem"), str(keys / "server.key"), client_ca=str(keys / "ca.pem")
    )

    received = asyncio.run(with_server(handler, context, client))

    assert received == b"HTTP/1.1 200 OK\r\n\r\n" + b"b" * size + b"a"


def test_output_reaches_a_client_that_goes_on_sending(keys: Path) -> None:
    async def serve(connection: HijackedConnection) -> None:
        fd, _ = await connection.detach()
        with socket.socket(fileno=fd) as sock:
            sock.setblocking(True)
            await asyncio.to_thread(sock.sendall, b"x" * 3_000_000)

    async def handler(request: Request) -> Hijack:
        return Hijack(200, "OK", [], serve)

    def client(port: int) -> int:
        with connect(port, keys) as tls:
            tls.sendall(REQUEST)
            size = 0
            while data := tls.recv(65536):
                size += len(data)
            return size

    context = server_context(str(keys / "server.pem"), str(keys / "server.key"))

    assert asyncio.run(with_server(handler, context, client)) == len(b"HTTP/1.1 200 OK\r\n\r\n") + 3_000_000


def test_plain_text_on_a_tls_port_is_ended(keys: Path) -> None:
    async def handler(request: Request) -> Response:
        return Response(200)

    def client(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(REQUEST)
            return b"".join(iter(lambda: sock.recv(100), b""))

    context = server_context(str(keys / "server.pem"), str(keys / "server.key"))

    answer = asyncio.run(with_server(handler, context, client))

    assert isinstance(answer, bytes)
    assert b"HTTP/1.1 200" not in answer


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot load TLS material from .*cert\.pem"):
        server_context(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
