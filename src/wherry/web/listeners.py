"""Addresses to listen on, and the sockets bound to them.

    unix:///run/x.sock    tcp://127.0.0.1:2375    tcp://[::1]:2376    fd://    fd://docker.socket    fd://3

Spec: dockerd, `--host`; sd_listen_fds(3).
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from contextlib import suppress
from ipaddress import ip_address

from wherry.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, Unavailable

_FIRST_PASSED_FD = 3
_BACKLOG = 1024
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 9),
)  # Go's: a follower whose machine has vanished is noticed after two and a half minutes
_UNIX_PATH_BYTES = 107
DEFAULT_PORT = 2375
DEFAULT_TLS_PORT = 2376


class Address:
    """Where to listen: `scheme` unix, tcp or fd; `path` of a unix socket or name of a passed one."""

    __slots__ = ("host", "path", "port", "scheme")

    def __init__(self, scheme: str, *, path: str = "", host: str = "", port: int = 0) -> None:
        self.scheme, self.path, self.host, self.port = scheme, path, host, port

    def __str__(self) -> str:
        if self.scheme == "tcp":
            host = f"[{self.host}]" if ":" in self.host else self.host
            return f"tcp://{host}:{self.port}"
        return f"{self.scheme}://{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it over TCP."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, *, tls: bool = False) -> Address:
    """The address that `--host` names.

    Raises:
        InvalidArgument: another scheme, or a host and port that cannot be.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "tcp", text
    if scheme == "unix" and rest:
        return Address("unix", path=rest)
    if scheme == "fd":
        return Address("fd", path=rest)
    if scheme == "tcp":
        return _parse_tcp(text, rest.rstrip("/"), DEFAULT_TLS_PORT if tls else DEFAULT_PORT)
    raise InvalidArgument(
        f"invalid bind address ({text}): expected unix://PATH, tcp://HOST:PORT or fd://NAME"
    )


def _parse_tcp(text: str, rest: str, default_port: int) -> Address:
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    if port and not (port.isdecimal() and len(port) <= 5 and int(port) < 65536):
        raise InvalidArgument(f"invalid bind address ({text}): port {port!r} is not a number below 65536")
    return Address("tcp", host=host or "127.0.0.1", port=int(port) if port else default_port)


def listen(address: Address, *, group: str = "") -> list[socket.socket]:
    """Sockets that listen on `address`; the caller closes them.

    A unix socket has mode 0660 and belongs to `group`, by name or number.  A socket file that nobody
    answers on is replaced, one that somebody does is not.

    Raises:
        Conflict: the address is in use.
        NotFound: no such group; no such passed descriptor.
        PermissionDenied, Unavailable: the kernel refuses the address.
    """
    if address.scheme == "fd":
        return _passed_sockets(address.path)
    try:
        if address.scheme == "unix":
            return [_listen_unix(address.path, group)]
        return _listen_tcp(address)
    except PermissionError as error:
        raise PermissionDenied(f"cannot listen on {address}: {error.strerror}") from error
    except OSError as error:
        raise Unavailable(f"cannot listen on {address}: {error.strerror or error}") from error


def _listen_unix(path: str, group: str) -> socket.socket:
    if len(os.fsencode(path)) > _UNIX_PATH_BYTES:
        raise InvalidArgument(f"the path of socket {path} is longer than {_UNIX_PATH_BYTES} bytes")
    gid = _group_id(group) if group else -1
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Conflict(f"cannot listen on unix://{path}: a file is in the way and is no socket")
        if _is_answered(path):
            raise Conflict(f"cannot listen on unix://{path}: another process answers there")
        os.unlink(path)
    os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Nobody connects before the mode is right: until `listen`, a connect is refused.
        sock.bind(path)
        os.chown(path, -1, gid)
        os.chmod(path, 0o660)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def group_exists(group: str) -> bool:
    """Whether this machine has a group of that name."""
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _group_id(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise NotFound(f"group {group} not found") from None


def _listen_tcp(address: Address) -> list[socket.socket]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, where in dict.fromkeys(found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for level, option, value in _KEEPALIVE:  # the accepted sockets inherit it
                sock.setsockopt(level, option, value)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(where)
            sock.listen(_BACKLOG)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _passed_sockets(wanted: str) -> list[socket.socket]:
    """The sockets that systemd opened for us: all, or those named `wanted`, or descriptor `wanted`."""
    count = int(os.environ.get("LISTEN_FDS", "0")) if os.environ.get("LISTEN_PID") == str(os.getpid()) else 0
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    chosen = [
        _FIRST_PASSED_FD + index
        for index in range(count)
        if wanted in ("", str(_FIRST_PASSED_FD + index)) or names[index : index + 1] == [wanted]
    ]
    if not chosen:
        raise NotFound(f"no socket activated file descriptor for fd://{wanted}")
    for fd in chosen:
        os.set_inheritable(fd, False)
    return [socket.socket(fileno=fd) for fd in chosen]
