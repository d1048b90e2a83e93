"""What the daemon was asked for, as one value, and the table of every default that a profile changes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from wherry.api.types import Ulimit
from wherry.daemon import options
from wherry.daemon.options import Given, Value
from wherry.diagnostics import logs
from wherry.errors import InvalidArgument
from wherry.web.listeners import Address, parse_address

DEFAULT_CONFIG_FILE = "/etc/wherry/daemon.json"
PROFILES = ("docker", "wherry")

# Every default that differs: Docker's own, and ours, which is safer.
DIFFERENCES: Mapping[str, tuple[Value, Value]] = {
    "group": ("docker", "wherry"),
    "log-opt": ({}, {"max-size": "20m", "max-file": "5"}),
    "plain-loopback": (True, False),  # TCP on loopback without TLS, which any local user can reach
}
DEFAULTS: Mapping[str, Value] = {
    "cgroup-parent": "/wherry",
    "data-root": "/var/lib/wherry",
    "exec-root": "/run/wherry",
    "default-ipc-mode": "private",
    "default-shm-size": 64 << 20,
    "host": ["unix:///run/wherry/wherry.sock"],
    "log-driver": "json-file",
    "log-level": "info",
    "max-concurrent-downloads": 3,
    "max-concurrent-uploads": 5,
    "max-download-attempts": 5,
    "profile": "docker",
    "shutdown-timeout": 15,
    "storage-driver": "overlayfs",
    "tlscacert": "/etc/wherry/tls/ca.pem",
    "tlscert": "/etc/wherry/tls/cert.pem",
    "tlskey": "/etc/wherry/tls/key.pem",
}
_STORAGE_DRIVERS = {"overlayfs": "overlayfs", "overlay2": "overlayfs", "native": "native", "vfs": "native"}
Type = TypeVar("Type", str, bool, int)


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How TCP listeners speak TLS; without `client_ca` anyone may connect."""

    certificate: str
    key: str
    client_ca: str | None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's configuration."""

    addresses: tuple[Address, ...]
    group: str
    has_default_group: bool
    data_root: Path
    exec_root: Path
    pidfile: Path
    log_level: str
    debug: bool
    profile: str
    tls: Tls | None
    allows_plain_tcp: bool
    """Whether TCP without TLS was asked for in so many words (`--tls=false`)."""
    allows_plain_loopback: bool
    storage_driver: str
    cgroup_parent: str
    default_cgroupns_mode: str
    default_ipc_mode: str
    default_shm_size: int
    default_ulimits: tuple[Ulimit, ...]
    dns: tuple[str, ...]
    dns_options: tuple[str, ...]
    dns_search: tuple[str, ...]
    init: bool
    insecure_registries: tuple[str, ...]
    labels: tuple[str, ...]
    log_driver: str
    log_options: dict[str, str]
    max_concurrent_downloads: int
    max_concurrent_uploads: int
    max_download_attempts: int
    no_new_privileges: bool
    registry_mirrors: tuple[str, ...]
    seccomp_profile: str
    shutdown_timeout_s: int
    idle_exit_s: int
    ready_fd: int


def load(flags: Given) -> Config:
    """The configuration that flags, file, profile and defaults make, in this order of precedence.

    Raises:
        InvalidArgument: an option in both places, an unknown one in the file, or a value that cannot be.
    """
    given = options.merge(flags, _read_file(flags))
    profile = str(given.get("profile", DEFAULTS["profile"]))
    if profile not in PROFILES:
        raise InvalidArgument(f"unknown profile {profile}: expected {' or '.join(PROFILES)}")
    column = PROFILES.index(profile)
    defaults = {**DEFAULTS, **{name: values[column] for name, values in DIFFERENCES.items()}}
    return _build(_Settings(given, defaults))


def _read_file(flags: Given) -> Given:
    path = str(flags.get("config-file", DEFAULT_CONFIG_FILE))
    try:
        return options.parse_file(Path(path).read_bytes())
    except FileNotFoundError:
        if "config-file" not in flags:
            return {}
        raise InvalidArgument(f"unable to configure the daemon with file {path}: no such file") from None
    except (OSError, InvalidArgument) as error:
        raise InvalidArgument(f"unable to configure the daemon with file {path}: {error}") from error


class _Settings:
    """What was given over what is default, with types."""

    def __init__(self, given: Given, defaults: Mapping[str, Value]) -> None:
        self.given = given
        self._values = {**defaults, **given}

    def get(self, name: str, empty: Type) -> Type:
        value = self._values.get(name, empty)
        assert isinstance(value, type(empty))
        return value

    def all(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name, [])
        assert isinstance(value, list)
        return tuple(value)

    def map(self, name: str) -> dict[str, str]:
        value = self._values.get(name, {})
        assert isinstance(value, dict)
        return value


def _build(settings: _Settings) -> Config:
    tls = _tls(settings)
    debug = settings.get("debug", False)
    return Config(
        addresses=tuple(parse_address(text, tls=tls is not None) for text in settings.all("host")),
        group=settings.get("group", ""),
        has_default_group="group" not in settings.given,
        data_root=_absolute(settings.get("data-root", "")),
        exec_root=_absolute(settings.get("exec-root", "")),
        pidfile=_absolute(settings.get("pidfile", "") or settings.get("exec-root", "") + "/wherryd.pid"),
        log_level=_log_level("debug" if debug else settings.get("log-level", "")),
        debug=debug,
        profile=settings.get("profile", ""),
        tls=tls,
        allows_plain_tcp=False in (settings.given.get("tls"), settings.given.get("tlsverify")),
        allows_plain_loopback=settings.get("plain-loopback", False),
        storage_driver=_storage_driver(settings.get("storage-driver", "")),
        cgroup_parent=settings.get("cgroup-parent", ""),
        default_cgroupns_mode=_one_of(settings, "default-cgroupns-mode", ("", "host", "private")),
        default_ipc_mode=_one_of(settings, "default-ipc-mode", ("private", "shareable")),
        default_shm_size=settings.get("default-shm-size", 0),
        default_ulimits=tuple(_parse_ulimit(text) for text in settings.all("default-ulimit")),
        dns=settings.all("dns"),
        dns_options=settings.all("dns-opt"),
        dns_search=settings.all("dns-search"),
        init=settings.get("init", False),
        insecure_registries=settings.all("insecure-registry"),
        labels=_labels(settings.all("label")),
        log_driver=settings.get("log-driver", ""),
        log_options=settings.map("log-opt"),
        max_concurrent_downloads=_positive(settings, "max-concurrent-downloads"),
        max_concurrent_uploads=_positive(settings, "max-concurrent-uploads"),
        max_download_attempts=_positive(settings, "max-download-attempts"),
        no_new_privileges=settings.get("no-new-privileges", False),
        registry_mirrors=settings.all("registry-mirror"),
        seccomp_profile=settings.get("seccomp-profile", ""),
        shutdown_timeout_s=settings.get("shutdown-timeout", 0),
        idle_exit_s=settings.get("idle-exit-s", 0),
        ready_fd=settings.get("ready-fd", -1),
    )


def _tls(settings: _Settings) -> Tls | None:
    """TLS is on with --tls or --tlsverify; only the second asks clients for a certificate."""
    verify = settings.get("tlsverify", False)
    if not (verify or settings.get("tls", False)):
        return None
    return Tls(
        certificate=settings.get("tlscert", ""),
        key=settings.get("tlskey", ""),
        client_ca=settings.get("tlscacert", "") if verify else None,
    )


def _absolute(path: str) -> Path:
    """`path` from the directory the daemon was started in, which it leaves."""
    return Path(os.path.abspath(path))


def _log_level(level: str) -> str:
    level = "warning" if level == "warn" else level
    if level not in logs.LEVELS:
        raise InvalidArgument(f"unable to parse logging level: {level}")
    return level


def _storage_driver(name: str) -> str:
    if name not in _STORAGE_DRIVERS:
        raise InvalidArgument(f"unknown storage driver {name}: expected {', '.join(_STORAGE_DRIVERS)}")
    return _STORAGE_DRIVERS[name]


def _one_of(settings: _Settings, name: str, allowed: Sequence[str]) -> str:
    value = settings.get(name, "")
    if value not in allowed:
        expected = ", ".join(filter(None, allowed))
        raise InvalidArgument(f"invalid value {value!r} for {name}: expected one of {expected}")
    return value


def _positive(settings: _Settings, name: str) -> int:
    value = settings.get(name, 0)
    if value < 1:
        raise InvalidArgument(f"invalid {name}: {value}")
    return value


def _labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    for label in labels:
        if not label.partition("=")[1]:
            raise InvalidArgument(f"bad attribute format: {label}")
    return labels


def _parse_ulimit(text: str) -> Ulimit:
    """`nofile=1024:2048`, or one number for both; -1 is no limit."""
    name, _, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    try:
        low = int(soft)
        high = int(hard) if colon else low
    except ValueError:
        raise InvalidArgument(f"invalid ulimit argument: {text}") from None
    if not name or (high != -1 and (low > high or low == -1)):
        raise InvalidArgument(f"ulimit soft limit must be less than or equal to hard limit: {text}")
    return Ulimit(name=name, soft=low, hard=high)
