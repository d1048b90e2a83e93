"""Byte streams to a daemon: unix and tcp sockets, TLS over tcp, and ssh.

A stream has a blocking side for requests (`recv`, `sendall`) and a side that never blocks for
hijacked connections, driven by poll: `offer` takes what fits, `receive_into` gives what is there.
`shutdown_write` ends our direction only, on every transport: the peer's output goes on.
"""

from __future__ import annotations

import _socket
import os

from wherry.client.failures import ConnectionFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from wherry.client.endpoint import Endpoint

    class Stream(Protocol):
        """What the HTTP client and the hijack loop ask of a transport."""

        def fileno(self) -> int: ...
        def recv(self, size: int) -> bytes: ...
        def sendall(self, data: bytes | bytearray | memoryview) -> None: ...
        def offer(self, data: memoryview) -> int: ...
        def receive_into(self, buffer: memoryview) -> int | None: ...
        def blocked(self) -> bool: ...
        def buffered(self) -> bool: ...
        def shutdown_write(self) -> None: ...
        def close(self) -> None: ...


CONNECT_TIMEOUT_S = 30.0
_NO_SIGNAL = _socket.MSG_NOSIGNAL
_AT_ONCE = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL


class PlainStream:
    """A connected stream socket.  `child` is the process behind it, where there is one."""

    __slots__ = ("_child", "_socket")

    def __init__(self, sock: _socket.socket, child: int = 0) -> None:
        self._socket = sock
        self._child = child

    def fileno(self) -> int:
        return self._socket.fileno()

    def recv(self, size: int) -> bytes:
        return self._socket.recv(size)

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        self._socket.sendall(data, _NO_SIGNAL)

    def offer(self, data: memoryview) -> int:
        """Send what fits now; the count of bytes taken, 0 when the peer is slow."""
        try:
            return self._socket.send(data, _AT_ONCE)
        except BlockingIOError:
            return 0

    def receive_into(self, buffer: memoryview) -> int | None:
        """Bytes that are there now; 0 at the end of the stream, None when nothing came."""
        try:
            return self._socket.recv_into(buffer, 0, _AT_ONCE)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return 0

    def blocked(self) -> bool:
        """Whether taken bytes still wait to be sent: never, the kernel has them."""
        return False

    def buffered(self) -> bool:
        """Whether bytes are there that poll does not see: never."""
        return False

    def shutdown_write(self) -> None:
        try:
            self._socket.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # the peer has closed already

    def close(self) -> None:
        self._socket.close()
        if self._child:
            os.waitpid(self._child, 0)
            self._child = 0


def connect(endpoint: Endpoint) -> Stream:
    """A new stream to `endpoint`; the caller closes it.

    Raises:
        ConnectionFailed: with Docker's text for the case.
    """
    try:
        if endpoint.scheme == "unix":
            return PlainStream(_connect_unix(endpoint.address))
        if endpoint.scheme == "ssh":
            return _connect_ssh(endpoint)
        sock = _connect_tcp(endpoint.address)
    except OSError as error:
        raise _connection_failed(endpoint, error) from error
    if endpoint.tls is None:
        return PlainStream(sock)
    from wherry.client.tls import TlsStream

    return TlsStream(sock, endpoint.address.rpartition(":")[0].strip("[]"), endpoint.tls)


def _connect_unix(path: str) -> _socket.socket:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        if len(os.fsencode(path)) < 108:
            sock.connect(path)
        else:  # longer than sun_path: through the directory's descriptor
            directory, _, name = path.rpartition("/")
            descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sock.connect(f"/proc/self/fd/{descriptor}/{name}")
            finally:
                os.close(descriptor)
    except OSError:
        sock.close()
        raise
    return sock


def _connect_tcp(address: str) -> _socket.socket:
    host, _, port = address.rpartition(":")
    failure: OSError = OSError(f"lookup {host}: no such host")
    candidates = _socket.getaddrinfo(host.strip("[]"), port, 0, _socket.SOCK_STREAM)
    for family, kind, protocol, _, target in candidates:
        sock = _socket.socket(family, kind, protocol)
        try:
            sock.settimeout(CONNECT_TIMEOUT_S)
            sock.connect(target)
            sock.settimeout(None)
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
        except OSError as error:
            sock.close()
            failure = error
            continue
        return sock
    raise failure


def _connect_ssh(endpoint: Endpoint) -> PlainStream:
    """`ssh … docker system dial-stdio` with a socket pair as its stdin and stdout."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    command = ssh_command(endpoint.address)
    moves = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1)]
    try:
        child = os.posix_spawnp(command[0], command, os.environ, file_actions=moves)
    finally:
        theirs.close()
    return PlainStream(ours, child)


def ssh_command(address: str) -> list[str]:
    """The command that reaches `[user@]host[:port][/path]`.

    Host and user are arguments of their own behind `--`, so neither can pass as an option.
    """
    place, slash, path = address.partition("/")
    user, at, target = place.rpartition("@")
    host, colon, port = target.rpartition(":")
    if not colon or host.count(":") != host.count("]:") + host.startswith("[") * host.count(":"):
        host, port = target, ""
    command = ["ssh", "-o", "ConnectTimeout=30", "-T"]
    if at:
        command += ["-l", user]
    if port:
        command += ["-p", port]
    command += ["--", host.strip("[]"), "docker"]
    if slash and path:
        command += ["--host", "unix:///" + path]
    return [*command, "system", "dial-stdio"]


def _connection_failed(endpoint: Endpoint, error: OSError) -> ConnectionFailed:
    """Docker's three texts: forbidden, missing, and everything else."""
    host = endpoint.host
    if isinstance(error, PermissionError):
        text = f"permission denied while trying to connect to the docker API at {host}"
    elif isinstance(error, FileNotFoundError) and endpoint.scheme == "unix":
        text = (
            f"failed to connect to the docker API at {host}; check if the path is correct and if the "
            f"daemon is running: dial unix {endpoint.address}: connect: no such file or directory"
        )
    elif isinstance(error, FileNotFoundError):
        text = f"error during connect: {error.filename or 'ssh'}: executable file not found in $PATH"
    else:
        text = f"Cannot connect to the Docker daemon at {host}. Is the docker daemon running?"
    return ConnectionFailed(text, error.errno or 0)
