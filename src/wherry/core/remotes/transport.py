"""Transport: HTTP requests of one operation, over connections that `close` ends at once.

With `connections` the only module that imports urllib3, at the first request.  Redirects, retries,
decoding and pooling across operations are off: the callers decide each hop.  One pool per origin
keeps TLS settings to their origin.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from wherry import __version__
from wherry.core.remotes import RegistryOptions
from wherry.core.remotes.origins import Location, Neighbourhood, Origin, is_insecure, parse_url
from wherry.errors import Unavailable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

    Body = bytes | IO[bytes] | Iterable[bytes] | None

USER_AGENT = f"wherry/{__version__}"
CONNECTIONS = 8
SEND_BYTES = 256 << 10


class RequestFailed(Unavailable):
    """No answer: the peer could not be reached, or the connection broke."""


class TransferCancelled(Unavailable):
    """The operation was closed while a request was under way."""

    def __init__(self) -> None:
        super().__init__("transfer cancelled")


class Transport:
    """The connections of one operation; usable from several threads."""

    def __init__(self, options: RegistryOptions) -> None:
        self.neighbourhood = Neighbourhood()
        self._options = options
        self._pools: dict[Origin, HTTPConnectionPool] = {}
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def request(
        self,
        method: str,
        location: Location,
        headers: Mapping[str, str],
        *,
        body: Body = None,
    ) -> BaseHTTPResponse:
        """Send a request; the answer's body is not read, and the caller releases it.

        Raises:
            RequestFailed: no answer.
            RefusedAddress: the host's address is not one the registry may lead to.
            TransferCancelled: closed meanwhile.
        """
        from urllib3.exceptions import HTTPError

        if self._closed.is_set():
            raise TransferCancelled
        try:
            return self._pool(location.origin).urlopen(
                method,
                self._target(location),
                body=body,
                headers={"User-Agent": USER_AGENT, **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                assert_same_host=False,
            )
        except (HTTPError, OSError) as error:
            if self._closed.is_set():
                raise TransferCancelled from None
            raise RequestFailed(
                f'failed to do request: {method.capitalize()} "{location.origin}": {_cause(error)}'
            ) from None

    def wait(self, seconds: float) -> None:
        """Sleep, unless the operation is closed meanwhile.

        Raises:
            TransferCancelled: it was.
        """
        if self._closed.wait(seconds):
            raise TransferCancelled

    def check(self) -> None:
        """Raise TransferCancelled once closed."""
        if self._closed.is_set():
            raise TransferCancelled

    def close(self) -> None:
        """End every connection, also those that a thread is waiting on."""
        self._closed.set()
        with self._lock:
            sockets = list(self._sockets)
            pools, self._pools = self._pools, {}
        for sock in sockets:
            try:
                # On the descriptor, under TLS: SSLSocket.shutdown would not wake a blocked read.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass  # already ended
        for pool in pools.values():
            pool.close()

    def dispose(self) -> None:
        """Give back the descriptors, too, once no thread uses them any more."""
        self.close()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            sock.close()

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket, known to `close`.

        Raises:
            OSError: nothing answers.
            RefusedAddress: not an address the registry may lead to.
        """
        failure: OSError | None = None
        for family, address in self.neighbourhood.resolve(host, port):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(self._options.connect_timeout_s)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.adopt(sock)
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                failure = error
            except TransferCancelled:
                sock.close()
                raise
        raise failure or OSError(f"no address for {host}")

    def adopt(self, sock: socket.socket) -> None:
        """Make `sock` one that `close` ends; called again when TLS has taken it over."""
        with self._lock:
            self._sockets = {known for known in self._sockets if known.fileno() >= 0} | {sock}
        self.check()

    def _pool(self, origin: Origin) -> HTTPConnectionPool:
        with self._lock:
            pool = self._pools.get(origin)
            if pool is None:
                pool = self._pools[origin] = self._make_pool(origin)
            return pool

    def _make_pool(self, origin: Origin) -> HTTPConnectionPool:
        from urllib3 import ProxyManager, Timeout

        from wherry.core.remotes.connections import pool_class

        settings: dict[str, Any] = {
            "maxsize": CONNECTIONS,
            "blocksize": SEND_BYTES,
            "timeout": Timeout(connect=self._options.connect_timeout_s, read=self._options.read_timeout_s),
        }
        if origin.scheme == "https":
            settings["ssl_context"] = self._tls(origin)
            if is_insecure(origin, self._options):
                settings |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
        proxy = _proxy_of(origin)
        if proxy:
            self.neighbourhood.trust(parse_url(proxy).origin)
            manager = ProxyManager(proxy, **settings)
            manager.pool_classes_by_scheme = {
                scheme: pool_class(scheme, self) for scheme in ("http", "https")
            }
            return manager.connection_from_host(origin.host, origin.port, origin.scheme)
        return pool_class(origin.scheme, self)(origin.host, origin.port, **settings)

    def _tls(self, origin: Origin) -> ssl.SSLContext:
        context = ssl.create_default_context()
        for directory in self._options.certificates:
            _load_certificates(context, directory / origin.authority)
        if is_insecure(origin, self._options):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _target(self, location: Location) -> str:
        """The request target: absolute where a proxy forwards plain http."""
        through_proxy = location.origin.scheme == "http" and _proxy_of(location.origin)
        return str(location) if through_proxy else location.target


def _load_certificates(context: ssl.SSLContext, directory: Path) -> None:
    """Load a registry's own authorities (*.crt) and client key pairs (*.cert with *.key)."""
    for authority in sorted(directory.glob("*.crt")):
        context.load_verify_locations(authority)
    for certificate in sorted(directory.glob("*.cert")):
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))


def _proxy_of(origin: Origin) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for `origin`; never for loopback."""
    from urllib.request import getproxies, proxy_bypass  # brings http.client and email: only for a request

    if is_insecure(origin, _NOTHING_LISTED) or proxy_bypass(origin.authority):
        return None
    return getproxies().get(origin.scheme)


_NOTHING_LISTED = RegistryOptions()


def _cause(error: BaseException) -> str:
    """The plain reason: urllib3 wraps it in the names of its own objects."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        inner = seen.__cause__ or seen.__context__ or getattr(seen, "reason", None)
        seen = inner if isinstance(inner, BaseException) else None
    return type(error).__name__ if "object at 0x" in str(error) else str(error)
