"""Origins: scheme, host and port; which of them may be plain, and where a server may lead.

Credentials are bound to an origin.  A URL that a server chose is parsed here, once, and
requests are made from the parts, so no second parser can read another host in it.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

import msgspec

from wherry.core.remotes import RefusedAddress, RegistryOptions
from wherry.oci.reference import DEFAULT_DOMAIN, LEGACY_DEFAULT_DOMAIN

HUB_HOST = "registry-1.docker.io"
_PORTS = {"https": 443, "http": 80}
_URL_LIMIT = 16 << 10

SocketAddress = tuple[socket.AddressFamily, tuple[object, ...]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Origin(msgspec.Struct, frozen=True):
    """Where requests go; equal origins may share credentials."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """`host[:port]`, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class Location(msgspec.Struct, frozen=True):
    """A URL in the two parts that a request needs."""

    origin: Origin
    target: str
    """Path and query, as they stand in the request line."""

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def parse_url(url: str, base: Location | None = None) -> Location:
    """The parts of `url`, which may be relative to `base`.

    Raises:
        RefusedAddress: not http or https, with user info, or malformed.
    """
    if len(url) > _URL_LIMIT or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise RefusedAddress("refused a URL: too long or with characters that URLs do not have")
    try:
        parts = urlsplit(urljoin(str(base), url) if base else url)
        port = parts.port
    except ValueError as error:
        raise RefusedAddress(f"refused a URL: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise RefusedAddress(f"refused a URL: expected http or https, found {parts.scheme or 'no scheme'}")
    if "@" in parts.netloc:
        raise RefusedAddress(f"refused a URL of {parts.hostname}: it holds user information")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Location(Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme]), target)


def registry_origins(domain: str, options: RegistryOptions) -> tuple[Origin, ...]:
    """Where the registry of `domain` is, in the order to try: https, and http only where allowed."""
    host = HUB_HOST if domain == DEFAULT_DOMAIN else domain
    secure = parse_url(f"https://{host}").origin
    if not is_insecure(secure, options):
        return (secure,)
    return secure, parse_url(f"http://{host}").origin


def is_insecure(origin: Origin, options: RegistryOptions) -> bool:
    """Whether `origin` may be plain or unverified: loopback, or listed for this host and port."""
    address = literal_address(origin.host)
    if origin.host == "localhost" or (address and address.is_loopback):
        return True
    for entry in options.insecure:
        if "/" in entry:
            if address and address in ipaddress.ip_network(entry, strict=False):
                return True
        elif entry.lower() in (origin.authority, f"{origin.host}:{origin.port}"):
            return True
    return False


def server_host(address: str) -> str:
    """The registry domain that a client's `serveraddress` means; empty for none.

    `https://index.docker.io/v1/` is Docker Hub; a scheme and a path are dropped.
    """
    host = address.partition("://")[2] if "://" in address else address
    host = host.partition("/")[0].lower()
    return DEFAULT_DOMAIN if host in (LEGACY_DEFAULT_DOMAIN, HUB_HOST) else host


def literal_address(host: str) -> Address | None:
    """The address that `host` spells, or None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def address_class(text: str) -> str:
    """`public`, `private`, `loopback` or `link-local`: which neighbourhood an address is in."""
    address = literal_address(text)
    if address is None or address.is_multicast:
        return "invalid"
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    return "public" if address.is_global else "private"


class Neighbourhood:
    """Which addresses one registry may lead to: public ones, and those of its own class.

    A registry on the internet cannot send the daemon to the metadata service or into the local
    network; a local registry may have its token server and its storage beside it.
    """

    def __init__(self) -> None:
        self._classes = {"public"}
        self._own_hosts: set[tuple[str, int]] = set()

    def trust(self, origin: Origin) -> None:
        """Let requests to `origin` go where it resolves to: the user or the daemon named it."""
        self._own_hosts.add((origin.host, origin.port))

    def resolve(self, host: str, port: int) -> list[SocketAddress]:
        """The addresses to connect to, resolved once, so that a second answer cannot differ.

        Raises:
            OSError: the name does not resolve.
            RefusedAddress: every address is one the registry may not lead to.
        """
        found: list[SocketAddress] = [
            (family, address)
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        ]
        if (host, port) in self._own_hosts:
            self._classes |= {address_class(str(address[0])) for _, address in found}
            return found
        allowed = [item for item in found if address_class(str(item[1][0])) in self._classes]
        if not allowed:
            raise RefusedAddress(
                f"refused to connect to {host}: its address is {address_class(str(found[0][1][0]))}, "
                "where the registry is not"
            )
        return allowed
