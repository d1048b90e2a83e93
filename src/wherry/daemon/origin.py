"""Whether a request over TCP comes from a web page.

A browser can be made to post to an address of its own machine, and with a name that resolves to that
address even to read the answer.  A page cannot hide its `Origin`, nor make the browser send another `Host`
than the name it used.  Over a unix socket there are no browsers, and over TLS our certificate says which
names are ours.

Spec: Fetch, "Origin header", "Sec-Fetch-Site"; RFC 9110 section 7.2.
"""

from __future__ import annotations

import socket
from functools import cache
from ipaddress import ip_address

from wherry.errors import PermissionDenied
from wherry.web.messages import Request

_CLIENT_HOSTS = ("localhost", "docker", "api.moby.localhost")  # what clients put in for want of a name


def check_origin(request: Request) -> None:
    """Refuse what a web page, or a name that was rebound to this machine, sends over TCP.

    Raises:
        PermissionDenied: naming the field that gave it away.
    """
    if request.channel == "unix":
        return
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise PermissionDenied("requests from web pages are not accepted")
    host = request.headers.get("host").lower()
    origin = request.headers.get("origin").lower()
    if origin and origin.partition("://")[2] != host:
        raise PermissionDenied(f"requests from web pages are not accepted: Origin is {origin}")
    if request.channel == "tcp" and not _is_own_name(_without_port(host)):
        raise PermissionDenied(f"this daemon does not answer to the name {host}")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _is_own_name(name: str) -> bool:
    if name in _CLIENT_HOSTS or name in _machine_names():
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@cache
def _machine_names() -> frozenset[str]:
    """The names of this machine: the host name, and that with its domain."""
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0], socket.getfqdn().lower()})
