"""Which daemon to talk to.

In this order: `--host`, `--context`, WHERRY_HOST, DOCKER_HOST, DOCKER_CONTEXT, the configuration's
`currentContext`, and last wherry's own socket: `/run/wherry/wherry.sock` for root, else
`$XDG_RUNTIME_DIR/wherry/wherry.sock`.
"""

from __future__ import annotations

import os

from wherry.client.contexts import DEFAULT, load_context
from wherry.client.failures import InvalidEndpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.client.config import Config

ROOT_SOCKET = "/run/wherry/wherry.sock"
_SCHEMES = ("unix", "tcp", "http", "https", "ssh", "fd", "npipe")


class Tls:
    """TLS material: paths, empty where not used."""

    __slots__ = ("ca", "cert", "key", "verify")

    def __init__(self, ca: str, cert: str, key: str, *, verify: bool) -> None:
        self.ca, self.cert, self.key = ca, cert, key
        self.verify = verify


class TlsOptions:
    """The global TLS flags; None where a flag was not given."""

    __slots__ = ("ca", "cert", "enabled", "key", "verify")

    def __init__(
        self,
        *,
        enabled: bool = False,
        verify: bool = False,
        ca: str | None = None,
        cert: str | None = None,
        key: str | None = None,
    ) -> None:
        self.enabled, self.verify = enabled, verify
        self.ca, self.cert, self.key = ca, cert, key


class Endpoint:
    """A daemon's address.  `implied` marks the default socket, where we may start a daemon."""

    __slots__ = ("address", "context", "host", "implied", "scheme", "tls")

    def __init__(
        self, host: str, scheme: str, address: str, tls: Tls | None, *, implied: bool, context: str
    ) -> None:
        self.host = host
        self.scheme = scheme
        self.address = address
        self.tls = tls
        self.implied = implied
        self.context = context


def default_socket(environment: Mapping[str, str] | None = None, uid: int | None = None) -> str:
    """The path of the socket that is tried when nothing else is said."""
    environment = os.environ if environment is None else environment
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if (os.geteuid() if uid is None else uid) == 0 or not runtime:
        return ROOT_SOCKET
    return os.path.join(runtime, "wherry", "wherry.sock")


def resolve_endpoint(
    config: Config, *, hosts: list[str], context: str | None = None, tls: TlsOptions | None = None
) -> Endpoint:
    """The endpoint that flags, environment and configuration name.

    Raises:
        InvalidEndpoint: two hosts, an unknown context, or an address of no known form.
    """
    tls = tls or TlsOptions()
    if len(hosts) > 1:
        raise InvalidEndpoint("specify only one -H")
    if hosts and context:
        raise InvalidEndpoint("conflicting options: cannot specify both --host and --context")
    if hosts:
        return _from_host(hosts[0], config, tls)
    if context is None:
        host = os.environ.get("WHERRY_HOST") or os.environ.get("DOCKER_HOST")
        if host:
            return _from_host(host, config, tls)
        context = os.environ.get("DOCKER_CONTEXT") or config.text("currentContext")
    if context and context != DEFAULT:
        return _from_context(context, config)
    return _implied() if not tls.enabled and not tls.verify else _from_host("", config, tls)


def _implied() -> Endpoint:
    path = default_socket()
    return Endpoint("unix://" + path, "unix", path, None, implied=True, context=DEFAULT)


def _from_context(name: str, config: Config) -> Endpoint:
    try:
        context = load_context(config.directory, name)
    except InvalidEndpoint as error:
        raise InvalidEndpoint(f"unable to resolve docker endpoint: {error}") from None
    if not context.host:
        return _implied()
    scheme, address = parse_host(context.host, tls=bool(context.ca or context.cert))
    material = None
    if scheme == "tcp" and (context.ca or context.cert or context.skip_verify):
        material = Tls(context.ca, context.cert, context.key, verify=not context.skip_verify)
    return Endpoint(context.host, scheme, address, material, implied=False, context=name)


def _from_host(host: str, config: Config, options: TlsOptions) -> Endpoint:
    material = _material(config, options)
    scheme, address = parse_host(host, tls=material is not None)
    if scheme != "tcp":
        material = None
    if scheme == "unix":
        host = "unix://" + address
    elif scheme == "tcp":
        host = "tcp://" + address
    return Endpoint(host, scheme, address, material, implied=False, context=DEFAULT)


def _material(config: Config, options: TlsOptions) -> Tls | None:
    """TLS files from the flags, DOCKER_CERT_PATH or the configuration directory."""
    verify = options.verify or bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (options.enabled or verify or os.environ.get("DOCKER_TLS")):
        return None
    directory = os.environ.get("DOCKER_CERT_PATH") or config.directory
    chosen = []
    for given, name in ((options.ca, "ca.pem"), (options.cert, "cert.pem"), (options.key, "key.pem")):
        path = os.path.join(directory, name) if given is None else given
        # A default file may be missing; one that was named may not.
        chosen.append(path if given or os.path.exists(path) else "")
    return Tls(*chosen, verify=verify)


def parse_host(host: str, *, tls: bool = False) -> tuple[str, str]:
    """`host` as scheme and address: a path for unix, `name:port` for tcp, the rest for ssh.

    Raises:
        InvalidEndpoint: another form.
    """
    host = host.strip()
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "tcp", host
    if scheme == "unix" or not host:
        return "unix", rest or default_socket()
    if scheme in ("http", "https"):
        scheme = "tcp"
    if scheme == "ssh":
        if not rest:
            raise InvalidEndpoint("unable to resolve docker endpoint: no host specified")
        return "ssh", rest
    if scheme not in _SCHEMES or scheme in ("fd", "npipe"):
        raise InvalidEndpoint(f"unable to resolve docker endpoint: invalid bind address format: {host}")
    return "tcp", _tcp_address(host, rest.partition("/")[0], tls=tls)


def _tcp_address(host: str, place: str, *, tls: bool) -> str:
    name, colon, port = place.rpartition(":")
    if not colon or "]" in port:
        name, port = place, ""
    if not port:
        port = "2376" if tls else "2375"
    if not port.isdecimal() or int(port) > 65535:
        raise InvalidEndpoint(f"unable to resolve docker endpoint: invalid bind address format: {host}")
    return f"{name or 'localhost'}:{port}"
