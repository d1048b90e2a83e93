"""Values of the flags of run and create, checked while the flags are parsed.

Each function takes the text of one flag and returns its part of the API body; ValueError carries
Docker's text.
"""

from __future__ import annotations

import _socket
import os

from wherry.cli.flags import quoted
from wherry.cli.values import parse_bytes, parse_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ULIMITS = frozenset(
    (
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
        "rss", "rtprio", "rttime", "sigpending", "stack",
    )
)  # fmt: skip
_SYSCTLS = frozenset(
    (
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    )
)  # fmt: skip
_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def parse_stream(text: str) -> str:
    stream = text.lower()
    if stream not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return stream


def parse_env(text: str) -> str:
    """`K=V` as it is; a bare `K` takes its value from our environment, where it has one."""
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if not equals and name in os.environ:
        return f"{name}={os.environ[name]}"
    return text


def parse_label(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def parse_extra_host(text: str) -> str:
    """`host:ip` or `host=ip`; the address may be in brackets, or `host-gateway`."""
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    if not found or not name:
        raise ValueError(f"bad format for add-host: {quoted(text)}")
    address = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if address != "host-gateway" and not is_address(address):
        raise ValueError(f"invalid IP address in add-host: {quoted(address)}")
    return f"{name}:{address}"


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def parse_address(text: str) -> str:
    address = text.strip()
    if not is_address(address):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return address


def parse_dns_search(text: str) -> str:
    domain = text.strip()
    if domain == ".":
        return domain
    labels = domain.rstrip(".").split(".")
    for label in labels:
        if (
            not label
            or len(label) > 63
            or not _ALNUM.issuperset(label.replace("-", "").replace("_", "") or "?")
        ):
            raise ValueError(f"{text} is not a valid domain")
    return domain


def parse_link(text: str) -> str:
    parts = text.split(":")
    if not text:
        raise ValueError("empty string specified for links")
    if len(parts) > 2:
        raise ValueError(f"bad format for links: {text}")
    return text


def parse_sysctl(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return name, value


def parse_ulimit(text: str) -> dict[str, Any]:
    """`name=soft[:hard]`"""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    numbers = limits.split(":")
    if len(numbers) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    soft = parse_integer(numbers[0])
    hard = parse_integer(numbers[1]) if len(numbers) == 2 else soft
    if hard != -1 and (soft == -1 or soft > hard):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Soft": soft, "Hard": hard}


def parse_device_rule(text: str) -> str:
    kind, _, rest = text.partition(" ")
    numbers, _, access = rest.partition(" ")
    major, colon, minor = numbers.partition(":")
    fits = (
        kind in ("a", "b", "c")
        and colon
        and all(part == "*" or part.isdecimal() for part in (major, minor))
        and 1 <= len(access) <= 3
        and set(access) <= set("rwm")
    )
    if not fits:
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def _device_and_value(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def parse_weight_device(text: str) -> dict[str, Any]:
    path, value = _device_and_value(text)
    if not value.isdecimal() or (int(value) and not 10 <= int(value) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(value)}


def parse_bps_device(text: str) -> dict[str, Any]:
    path, value = _device_and_value(text)
    try:
        return {"Path": path, "Rate": parse_bytes(value)}
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. "
            "Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ) from None


def parse_iops_device(text: str) -> dict[str, Any]:
    path, value = _device_and_value(text)
    if not value.isdecimal():
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>. "
            "Number must be a positive integer"
        )
    return {"Path": path, "Rate": int(value)}


def parse_gpus(text: str) -> dict[str, Any]:
    """`all`, a count, or CSV of count, device, driver, capabilities and options."""
    from wherry.cli.csv import read_record

    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Options": {}}
    capabilities = ["gpu"]
    seen: set[str] = set()
    for field in read_record(text):
        key, equals, value = field.partition("=")
        if not equals and not seen:
            key, value = "count", key
        if key in seen:
            raise ValueError(f"gpu request key '{key}' can be specified only once")
        seen.add(key)
        if key == "driver":
            request["Driver"] = value
        elif key == "count":
            request["Count"] = _gpu_count(value)
        elif key == "device":
            request["DeviceIDs"] = value.split(",")
        elif key == "capabilities":
            capabilities = [*value.split(","), "gpu"]
        elif key == "options":
            pairs = (part.partition("=") for part in read_record(value))
            request["Options"] = {name: setting for name, _, setting in pairs}
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if "count" not in seen and request["DeviceIDs"] is None:
        request["Count"] = 1
    request["Capabilities"] = [list(dict.fromkeys(capabilities))]
    return request


def _gpu_count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f'invalid count ({text}): value must be either "all" or an integer: invalid syntax'
        ) from None


def parse_mac_address(text: str) -> str:
    parts = text.strip().replace("-", ":").split(":")
    hexadecimal = all(len(part) == 2 and set(part) <= set("0123456789abcdefABCDEF") for part in parts)
    if len(parts) not in (6, 8, 20) or not hexadecimal:
        raise ValueError(f"{text} is not a valid mac address")
    return text


def parse_network(text: str) -> dict[str, Any]:
    """A network's name, or CSV of `name=…` and the settings of its endpoint."""
    network: dict[str, Any] = {"Target": text, "Aliases": [], "LinkLocalIPs": [], "DriverOpts": {}}
    if not any(_ends_in_word(before) and after[:1].isalnum() for before, after in _around_equals(text)):
        return network
    from wherry.cli.csv import read_record

    network["Target"] = ""
    for field in read_record(text):
        key, equals, value = field.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals or not key:
            raise ValueError(f"invalid field {field}")
        _set_network_field(network, key, value)
    if not network["Target"]:
        raise ValueError("network name/id is not specified")
    return network


def _around_equals(text: str) -> list[tuple[str, str]]:
    """What stands before and behind each equals sign."""
    parts = text.split("=")
    return [(parts[place], parts[place + 1]) for place in range(len(parts) - 1)]


def _ends_in_word(text: str) -> bool:
    return text[-1:].isalnum() or text[-1:] == "_"


def _set_network_field(network: dict[str, Any], key: str, value: str) -> None:
    if key == "name":
        network["Target"] = value
    elif key == "alias":
        network["Aliases"].append(value)
    elif key == "ip":
        network["IPv4Address"] = value
    elif key == "ip6":
        network["IPv6Address"] = value
    elif key == "mac-address":
        network["MacAddress"] = parse_mac_address(value)
    elif key == "link-local-ip":
        network["LinkLocalIPs"].append(value)
    elif key == "driver-opt":
        name, equals, setting = value.partition("=")
        if not equals:
            raise ValueError("invalid key value pair format in driver options")
        network["DriverOpts"][name.strip().lower()] = setting.strip()
    elif key == "gw-priority":
        try:
            network["GwPriority"] = int(value)
        except ValueError:
            raise ValueError(f"invalid gw-priority ({value}): invalid syntax") from None
    else:
        raise ValueError(f"invalid field key {key}")
