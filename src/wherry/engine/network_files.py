"""The files a container gets from the engine: hostname, hosts and resolv.conf.

Their lines are made of what clients send, so every field is checked: none may hold a line
feed, a blank or a NUL that would start a field or a line of its own (CVE-2026-15809's family).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from wherry.errors import InvalidArgument

_LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
HOSTNAME_LIMIT = 64


def check_hostname(name: str, *, what: str = "hostname") -> str:
    """`name`, if it may be a host's or a domain's.

    Raises:
        InvalidArgument: too long, or with other characters than letters, digits, `-`, `_` and `.`.
    """
    if len(name) > HOSTNAME_LIMIT or not _NAME.issuperset(name):
        raise InvalidArgument(
            f"invalid {what}: {name!a}: expected at most 64 letters, digits, '-', '_' and '.'"
        )
    return name


def parse_extra_host(entry: str) -> tuple[str, str]:
    """Name and address of an `--add-host`, `name:address` or `name=address`.

    Raises:
        InvalidArgument: of another form, or not an address.
    """
    separator = "=" if "=" in entry else ":"
    name, found, address = entry.partition(separator)
    if not found or not name or not _NAME.issuperset(name):
        raise InvalidArgument(f"bad format for add-host: {entry!a}")
    address = address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise InvalidArgument(f"invalid IP address in add-host: {address!a}") from None
    return name, address


def hosts_file(extra_hosts: Iterable[str], *, host_file: str | None = None) -> str:
    """/etc/hosts: the loopback names, or the host's own file, and then the extra ones."""
    lines = [f"{address}\t{name}\n" for name, address in map(parse_extra_host, extra_hosts)]
    base = _LOCAL_HOSTS if host_file is None else host_file.rstrip("\n") + "\n"
    return base + "".join(lines)


def resolv_conf(
    host_file: str,
    *,
    servers: Iterable[str] = (),
    search: Iterable[str] = (),
    options: Iterable[str] = (),
    shares_host_network: bool = False,
) -> str:
    """/etc/resolv.conf: what was asked for, and the host's lines for what was not.

    A name server on the host's loopback cannot be reached from another network namespace.
    """
    own_servers, own_search, own_options = list(servers), list(search), list(options)
    if shares_host_network and not (own_servers or own_search or own_options):
        return host_file
    lines: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in host_file.splitlines():
        key, _, rest = line.strip().partition(" ")
        if key in lines and rest.strip():
            lines[key].append(rest.strip())
    if not shares_host_network:
        lines["nameserver"] = [server for server in lines["nameserver"] if not _is_loopback(server)]
    found_servers = own_servers or lines["nameserver"]
    found_search = own_search or " ".join(lines["search"][-1:]).split()
    found_options = own_options or " ".join(lines["options"]).split()
    text = "".join(f"nameserver {server}\n" for server in found_servers)
    text += f"search {' '.join(found_search)}\n" if found_search and found_search != ["."] else ""
    return text + (f"options {' '.join(found_options)}\n" if found_options else "")


def check_dns(servers: Iterable[str], search: Iterable[str], options: Iterable[str]) -> None:
    """Refuse what would not be one field of a resolv.conf line.

    Raises:
        InvalidArgument: not an address, or a blank or line feed inside.
    """
    for server in servers:
        try:
            ipaddress.ip_address(server)
        except ValueError:
            raise InvalidArgument(f"invalid DNS address: {server!a}") from None
    for field in (*search, *options):
        if not field or not field.isprintable() or " " in field:
            raise InvalidArgument(f"invalid DNS search domain or option: {field!a}")


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return True
