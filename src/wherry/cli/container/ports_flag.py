"""`--publish` and `--expose`: ExposedPorts and PortBindings."""

from __future__ import annotations

from wherry.cli.container.flag_values import is_address
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Bindings = dict[str, list[dict[str, str]]]


def port_options(publish: Sequence[str], expose: Sequence[str]) -> tuple[dict[str, dict[str, str]], Bindings]:
    """ExposedPorts and PortBindings of the flags.

    Raises:
        CommandFailed: in Docker's words.
    """
    bindings: Bindings = {}
    for spec in publish:
        for port, binding in parse_publish(_standard_notation(spec) if "=" in spec else spec):
            bindings.setdefault(port, []).append(binding)
    exposed: dict[str, dict[str, str]] = {port: {} for port in bindings}
    for spec in expose:
        if ":" in spec:
            raise CommandFailed(f"invalid port format for --expose: {spec}")
        ports, _, protocol = spec.partition("/")
        try:
            first, last = _range(ports)
        except ValueError as error:
            raise CommandFailed(f"invalid range format for --expose: {spec}, error: {error}") from None
        for number in range(first, last + 1):
            exposed.setdefault(f"{number}/{protocol or 'tcp'}", {})
    return exposed, bindings


def parse_publish(spec: str) -> list[tuple[str, dict[str, str]]]:
    """`[ip:][host[-end]:]container[-end][/protocol]` as pairs of port and binding.

    Raises:
        CommandFailed: in Docker's words.
    """
    parts = spec.split(":")
    target, host = parts[-1], parts[-2] if len(parts) > 1 else ""
    address = ":".join(parts[:-2])
    target, _, protocol = target.partition("/")
    protocol = protocol.lower() or "tcp"
    plain = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if address and not is_address(plain):
        raise CommandFailed(f"invalid IP address: {address}")
    if not target:
        raise CommandFailed(f"no port specified: {spec}<empty>")
    first, last = _checked_range(target, "containerPort")
    host_first, host_last = _checked_range(host, "hostPort") if host else (0, 0)
    if host and last - first != host_last - host_first and first != last:
        raise CommandFailed(f"invalid ranges specified for container and host Ports: {target} and {host}")
    if protocol not in ("tcp", "udp", "sctp"):
        raise CommandFailed(f"invalid proto: {protocol}")
    pairs = []
    for offset in range(last - first + 1):
        host_port = str(host_first + offset) if host else ""
        if first == last and host_first != host_last:
            host_port = f"{host_first}-{host_last}"  # one of the range, the engine's choice
        pairs.append((f"{first + offset}/{protocol}", {"HostIp": plain, "HostPort": host_port}))
    return pairs


def _checked_range(text: str, what: str) -> tuple[int, int]:
    try:
        return _range(text)
    except ValueError:
        raise CommandFailed(f"invalid {what}: {text}") from None


def _range(text: str) -> tuple[int, int]:
    if not text:
        raise ValueError("empty string specified for ports")
    first, dash, last = text.partition("-")
    low = _port(first)
    high = _port(last) if dash else low
    if high < low:
        raise ValueError(f"invalid range specified for port: {text}")
    return low, high


def _port(text: str) -> int:
    if not text.isdecimal() or not text.isascii():
        raise ValueError(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    if int(text) > 65535:
        raise ValueError(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    return int(text)


def _standard_notation(spec: str) -> str:
    """`target=80,published=8080,protocol=tcp` in the short form."""
    fields: dict[str, str] = {}
    for part in spec.split(","):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise CommandFailed(f"invalid publish opts format (should be name=value but got '{part}')")
        fields[key] = value
    host_ip, published = fields.get("host_ip", ""), fields.get("published", "")
    front = f"{host_ip}:{published}:" if host_ip else f"{published}:" if published else ""
    return f"{front}{fields.get('target', '')}/{fields.get('protocol', 'tcp')}"
