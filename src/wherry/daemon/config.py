"""What the daemon was asked for, as one value, and the table of every default that a profile changes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from wherry.api.types import Ulimit
from wherry.daemon import checks, options
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


def load(flags: Given, *, directory: Path | None = None) -> Config:
    """The configuration that flags, file, profile and defaults make, in this order of precedence.

    Relative paths are from `directory`, by default the present one: the daemon leaves the one it was
    started in, and reads its configuration again later.

    Raises:
        InvalidArgument: an option in both places, an unknown one in the file, or a value that cannot be.
    """
    directory = directory or Path.cwd()
    given = options.merge(flags, _read_file(flags, directory))
    profile = str(given.get("profile", DEFAULTS["profile"]))
    if profile not in PROFILES:
        raise InvalidArgument(f"unknown profile {profile}: expected {' or '.join(PROFILES)}")
    column = PROFILES.index(profile)
    defaults = {**DEFAULTS, **{name: values[column] for name, values in DIFFERENCES.items()}}
    return _build(_Settings(given, defaults, directory))


def _read_file(flags: Given, directory: Path) -> Given:
    path = str(flags.get("config-file", DEFAULT_CONFIG_FILE))
    try:
        return options.parse_file((directory / path).read_bytes())
    except FileNotFoundError:
        if "config-file" not in flags:
            return {}
        raise InvalidArgument(f"unable to configure the daemon with file {path}: no such file") from None
    except (OSError, InvalidArgument) as error:
        raise InvalidArgument(f"unable to configure the daemon with file {path}: {error}") from error


class _Settings:
    """What was given over what is default, with types."""

    def __init__(self, given: Given, defaults: Mapping[str, Value], directory: Path) -> None:
        self.given = given
        self._directory = directory
        self._values = {**defaults, **given}

    def get(self, name: str, empty: Type) -> Type:
        value = self._values.get(name, empty)
        assert isinstance(value, type(empty))
        return value

    def all(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name, [])
        assert isinstance(value, list)
        return tuple(value)

    def path(self, name: str, default: str = "") -> Path:
        """An absolute path, whatever was said."""
        return Path(os.path.abspath(self._directory / (self.get(name, "") or default)))

    def map(self, name: str) -> dict[str, str]:
        value = self._values.get(name, {})
        assert isinstance(value, dict)
        return value


def _build(settings: _Settings) -> Config:
    return Config(
        **_places(settings),
        **_container_defaults(settings),
        **_registries(settings),
        profile=settings.get("profile", ""),
        labels=tuple(map(checks.label, settings.all("label"))),
        shutdown_timeout_s=checks.number("shutdown-timeout", settings.get("shutdown-timeout", 0), least=0),
        idle_exit_s=checks.number("idle-exit-s", settings.get("idle-exit-s", 0), least=0),
        ready_fd=settings.get("ready-fd", -1),
    )


def _places(settings: _Settings) -> dict[str, Any]:
    """Where the daemon listens, writes and logs."""
    tls = _tls(settings)
    debug = settings.get("debug", False)
    return {
        "addresses": tuple(parse_address(text, tls=tls is not None) for text in settings.all("host")),
        "group": settings.get("group", ""),
        "has_default_group": "group" not in settings.given,
        "data_root": settings.path("data-root"),
        "exec_root": settings.path("exec-root"),
        "pidfile": settings.path("pidfile", settings.get("exec-root", "") + "/wherryd.pid"),
        "log_level": _log_level("debug" if debug else settings.get("log-level", "")),
        "debug": debug,
        "tls": tls,
        "allows_plain_tcp": False in (settings.given.get("tls"), settings.given.get("tlsverify")),
        "allows_plain_loopback": settings.get("plain-loopback", False),
        "storage_driver": _storage_driver(settings.get("storage-driver", "")),
    }


def _container_defaults(settings: _Settings) -> dict[str, Any]:
    """What containers get that say nothing."""
    cgroupns, ipc = "default-cgroupns-mode", "default-ipc-mode"
    log_driver = checks.log_driver(settings.get("log-driver", ""))
    return {
        "cgroup_parent": settings.get("cgroup-parent", ""),
        "default_cgroupns_mode": checks.one_of(cgroupns, settings.get(cgroupns, ""), ("", "host", "private")),
        "default_ipc_mode": checks.one_of(ipc, settings.get(ipc, ""), ("private", "shareable")),
        "default_shm_size": checks.number("default-shm-size", settings.get("default-shm-size", 0), least=0),
        "default_ulimits": tuple(map(checks.ulimit, settings.all("default-ulimit"))),
        "dns": tuple(map(checks.dns_server, settings.all("dns"))),
        "dns_options": tuple(map(checks.dns_word("dns-opt"), settings.all("dns-opt"))),
        "dns_search": tuple(map(checks.dns_word("dns-search"), settings.all("dns-search"))),
        "init": settings.get("init", False),
        "log_driver": log_driver,
        "log_options": checks.log_options(log_driver, settings.map("log-opt")),
        "no_new_privileges": settings.get("no-new-privileges", False),
        "seccomp_profile": _seccomp_profile(settings),
    }


def _registries(settings: _Settings) -> dict[str, Any]:
    """How registries are spoken to."""
    counts = ("max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts")
    return {
        "insecure_registries": tuple(map(checks.insecure_registry, settings.all("insecure-registry"))),
        "registry_mirrors": tuple(map(checks.registry_mirror, settings.all("registry-mirror"))),
        **{name.replace("-", "_"): checks.number(name, settings.get(name, 0), least=1) for name in counts},
    }


def _seccomp_profile(settings: _Settings) -> str:
    """`builtin`, nothing, or the absolute path of a file that holds a profile."""
    name = settings.get("seccomp-profile", "")
    path = name if name in ("", "builtin") else str(settings.path("seccomp-profile"))
    checks.seccomp_profile(path)
    return path


def _tls(settings: _Settings) -> Tls | None:
    """TLS is on with --tls or --tlsverify; only the second asks clients for a certificate."""
    verify = settings.get("tlsverify", False)
    if not (verify or settings.get("tls", False)):
        return None
    return Tls(
        certificate=str(settings.path("tlscert")),
        key=str(settings.path("tlskey")),
        client_ca=str(settings.path("tlscacert")) if verify else None,
    )


def _log_level(level: str) -> str:
    level = "warning" if level == "warn" else level
    if level not in logs.LEVELS:
        raise InvalidArgument(f"unable to parse logging level: {level}")
    return level


def _storage_driver(name: str) -> str:
    if name not in _STORAGE_DRIVERS:
        raise InvalidArgument(f"unknown storage driver {name}: expected {', '.join(_STORAGE_DRIVERS)}")
    return _STORAGE_DRIVERS[name]
