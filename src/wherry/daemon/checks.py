"""What the values of options have to be; a wrong one is told with its option and what was expected.

What is refused here would otherwise fail at each request that meets it, long after the start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry.api.types import HostConfig, LogConfig, Ulimit
from wherry.core.remotes.origins import parse_url
from wherry.core.spec import seccomp
from wherry.engine.containers.checks import LOG_DRIVERS, check_log_config
from wherry.engine.network_files import check_dns
from wherry.engine.resources import ULIMITS
from wherry.errors import InvalidArgument


class BadValue(InvalidArgument):
    """An option whose value cannot be."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"invalid value {str(value)!r} for {name}: expected {expected}")


def number(name: str, value: int, *, least: int) -> int:
    """`value`, which is at least `least`.

    Raises:
        BadValue: it is less.
    """
    if value < least:
        raise BadValue(name, value, f"{least} or more")
    return value


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """`value`, which is one of `allowed`.

    Raises:
        BadValue: it is another.
    """
    if value not in allowed:
        raise BadValue(name, value, f"one of {', '.join(filter(None, allowed))}")
    return value


def label(text: str) -> str:
    """`text`, which is KEY=VALUE.

    Raises:
        InvalidArgument: with Docker's text.
    """
    key, equals, _ = text.partition("=")
    if not key or not equals:
        raise InvalidArgument(f"bad attribute format: {text}")
    return text


def log_driver(name: str) -> str:
    """`name`, which is a log driver of ours.

    Raises:
        BadValue: it is not.
    """
    return one_of("log-driver", name, sorted(LOG_DRIVERS - {""}))


def log_options(driver: str, options: Mapping[str, str]) -> dict[str, str]:
    """`options`, each of which `driver` has and whose values it takes.

    Raises:
        BadValue: naming the first that does not fit.
    """
    for key, value in options.items():
        try:
            check_log_config(HostConfig(log_config=LogConfig(type=driver, config={key: value})))
        except InvalidArgument as error:
            raise BadValue("log-opt", f"{key}={value}", f"an option of {driver} ({error})") from None
    return dict(options)


def dns_server(text: str) -> str:
    """`text`, which is an address.

    Raises:
        BadValue: it is not.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise BadValue("dns", text, "an IP address") from None
    return text


def dns_word(name: str) -> Callable[[str], str]:
    """A check of the option `name`, whose value is one word of a line of resolv.conf."""

    def check(text: str) -> str:
        try:
            check_dns((), (text,), ())
        except InvalidArgument:
            raise BadValue(name, text, "one word") from None
        return text

    return check


def insecure_registry(text: str) -> str:
    """`text`, which is a host with or without a port, or a range of addresses.

    Raises:
        BadValue: it is neither.
    """
    try:
        if "/" in text:
            ipaddress.ip_network(text, strict=False)
        elif parse_url(f"https://{text}").target != "/":
            raise ValueError(text)
    except (ValueError, InvalidArgument):
        raise BadValue("insecure-registry", text, "HOST[:PORT], or a range as 10.0.0.0/8") from None
    return text


def registry_mirror(url: str) -> str:
    """`url`, which is where a mirror is.

    Raises:
        BadValue: no URL of http or https, or one with a path, a query or a fragment.
    """
    try:
        if "#" in url or parse_url(url).target != "/":
            raise ValueError(url)
    except (ValueError, InvalidArgument):
        raise BadValue("registry-mirror", url, "http://HOST[:PORT] or https://HOST[:PORT]") from None
    return url


def ulimit(text: str) -> Ulimit:
    """`nofile=1024:2048`, or one number for both; -1 is no limit.

    Raises:
        BadValue: another form, an unknown name, or a soft limit above the hard one.
    """
    name, _, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    try:
        low = int(soft)
        high = int(hard) if colon else low
    except ValueError:
        raise BadValue("default-ulimit", text, "NAME=SOFT[:HARD]") from None
    if name not in ULIMITS:
        raise BadValue(
            "default-ulimit", text, f"NAME=SOFT[:HARD] with NAME one of {', '.join(sorted(ULIMITS))}"
        )
    if min(low, high) < -1 or (high != -1 and (low > high or low == -1)):
        raise BadValue(
            "default-ulimit", text, "NAME=SOFT[:HARD] with a soft limit that is not above the hard one"
        )
    return Ulimit(name=name, soft=low, hard=high)


def seccomp_profile(path: str) -> dict[str, Any] | None:
    """The profile in the file `path`; none given is the built-in one.

    Raises:
        BadValue: it cannot be read, or is no profile.
    """
    if path in ("", "builtin"):
        return None
    try:
        return seccomp.parse_profile(Path(path).read_bytes())
    except (OSError, InvalidArgument) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadValue(
            "seccomp-profile", path, f"a file with a seccomp profile, or builtin ({reason})"
        ) from error
