"""What a container may not ask for, told before anything is made.

Spec: texts of moby's daemon/container.go, daemon_unix.go and api/types/container.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wherry.api.types import ContainerConfig, HealthConfig, HostConfig, RestartPolicy
from wherry.core.spec.capabilities import normalise
from wherry.engine.devices import check_devices, device_rules
from wherry.engine.host import Host
from wherry.engine.network_files import check_dns, check_hostname, parse_extra_host
from wherry.engine.resources import check_resources
from wherry.engine.security import check_modes, check_sysctls, parse_security_options
from wherry.engine.signals import parse_signal
from wherry.errors import InvalidArgument, Unsupported

LOG_DRIVERS = frozenset({"", "json-file", "none"})
_LOG_OPTIONS = frozenset({
    "max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode",
    "max-buffer-size",
})  # fmt: skip
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")
_POLICIES = frozenset({"", "no", "always", "unless-stopped", "on-failure"})
_MILLISECOND_NS = 1_000_000
HOST_GATEWAY = "host-gateway"


def check_container(config: ContainerConfig, host_config: HostConfig, host: Host) -> list[str]:
    """Refuse what cannot run; returns Docker's warnings.

    Raises:
        InvalidArgument: with Docker's text.
        Unsupported: what this engine has not.
    """
    _check_config(config)
    _check_host_config(host_config, host)
    check_modes(host_config)
    check_restart_policy(host_config)
    private = _modes(host_config)
    check_sysctls(
        host_config.sysctls,
        private_network=private["network"],
        private_ipc=private["ipc"],
        private_uts=private["uts"],
    )
    check_log_config(host_config)
    warnings = check_resources(host_config, host)
    return warnings + _network_warnings(host_config) + _health_warnings(config.healthcheck)


def _check_config(config: ContainerConfig) -> None:
    check_hostname(config.hostname)
    check_hostname(config.domainname, what="domain name")
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    for entry in config.env or ():
        if not entry.partition("=")[0] or "\0" in entry:
            raise InvalidArgument(f"invalid environment variable: {entry}")
    if any("\0" in argument for argument in (*(config.cmd or ()), *(config.entrypoint or ()))):
        raise InvalidArgument("invalid command: an argument holds a NUL byte")
    if config.stop_signal:
        parse_signal(config.stop_signal)
    for port in config.exposed_ports or ():
        check_port(port)
    if config.healthcheck is not None:
        _check_health(config.healthcheck)


def _check_health(health: HealthConfig) -> None:
    for name in ("interval", "timeout", "start_period", "start_interval"):
        value = getattr(health, name)
        if value != 0 and value < _MILLISECOND_NS:
            title = "".join(word.capitalize() for word in name.split("_"))
            raise InvalidArgument(f"{title} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")


def _check_host_config(host_config: HostConfig, host: Host) -> None:
    for what, names in (("CapAdd", host_config.cap_add), ("CapDrop", host_config.cap_drop)):
        try:
            normalise(names or ())
        except InvalidArgument as error:
            raise InvalidArgument(f"invalid {what}: {error}") from None
    if not -1000 <= host_config.oom_score_adj <= 1000:
        raise InvalidArgument(
            f"Invalid value {host_config.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host_config.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    parse_security_options(host_config.security_opt, host)
    check_devices(host_config.devices)
    device_rules(host_config.device_cgroup_rules)
    check_dns(host_config.dns or (), host_config.dns_search or (), host_config.dns_options or ())
    for entry in host_config.extra_hosts or ():
        parse_extra_host(entry.replace(HOST_GATEWAY, "127.0.0.1"))
    for port, bindings in host_config.port_bindings.items():
        check_port(port)
        for binding in bindings or ():
            if binding.host_port and not _PORT.fullmatch(binding.host_port):
                raise InvalidArgument(f'invalid port specification: "{binding.host_port}"')
    _check_unsupported(host_config)


def _check_unsupported(host_config: HostConfig) -> None:
    if host_config.runtime not in {"", "wherry", "runc"}:
        raise InvalidArgument(f"unknown or invalid runtime name: {host_config.runtime}")
    if host_config.isolation not in {"", "default"}:
        raise InvalidArgument(f"invalid isolation '{host_config.isolation}' on linux")
    if host_config.storage_opt:
        raise Unsupported("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    if host_config.links:
        raise Unsupported("legacy container links are not supported: put the containers in one network")


def check_port(text: str) -> None:
    """Refuse what is not `port[-port][/protocol]`.

    Raises:
        InvalidArgument: with Docker's text.
    """
    match = _PORT.fullmatch(text)
    if match is None or not 0 <= int(match[1]) <= 65535 or int(match[2] or 0) > 65535:
        raise InvalidArgument(f'invalid port specification: "{text}"')


def check_restart_policy(host_config: HostConfig) -> None:
    """Refuse an unknown policy, a count without on-failure, and any policy with auto-remove.

    Raises:
        InvalidArgument: with Docker's text.
    """
    policy: RestartPolicy = host_config.restart_policy
    if policy.name not in _POLICIES:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{policy.name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count != 0 and policy.name != "on-failure":
        text = "maximum retry count can only be used with 'on-failure'"
        if policy.maximum_retry_count < 0:
            text += " and cannot be negative"
        raise InvalidArgument(f"invalid restart policy: {text}")
    if policy.maximum_retry_count < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if host_config.auto_remove and policy.name not in {"", "no"}:
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")


def check_log_config(host_config: HostConfig) -> None:
    """Refuse a log driver that is not here, and options that it does not have.

    Raises:
        InvalidArgument: with Docker's text.
    """
    driver = host_config.log_config.type
    if driver not in LOG_DRIVERS:
        raise InvalidArgument(f"logger: no log driver named '{driver}' is registered")
    for option in host_config.log_config.config:
        if driver != "none" and option not in _LOG_OPTIONS:
            raise InvalidArgument(f"unknown log opt '{option}' for json-file log driver")
    parse_log_options(host_config.log_config.config)


def parse_log_options(options: Mapping[str, str]) -> tuple[int, int]:
    """Size in bytes and number of files of the rotation; no size means one file without end.

    Raises:
        InvalidArgument: not a size or not a number.
    """
    size, count = options.get("max-size", ""), options.get("max-file", "")
    size_bytes = 0 if size in {"", "-1"} else _bytes(size)
    if count and not (count.isdigit() and int(count) >= 1):
        raise InvalidArgument("max-file cannot be less than 1")
    return size_bytes, int(count or 1)


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([bkmgtp]?)i?b?", text.lower())
    if match is None:
        raise InvalidArgument(f"invalid size: '{text}'")
    scale: int = 1024 ** "bkmgtp".index(match[2] or "b")
    return int(match[1]) * scale


def _modes(host_config: HostConfig) -> dict[str, bool]:
    """Whether the container has its own namespace of each kind."""
    modes: dict[str, Any] = {
        "network": host_config.network_mode,
        "ipc": host_config.ipc_mode,
        "uts": host_config.uts_mode,
    }
    return {kind: mode != "host" and not mode.startswith("container:") for kind, mode in modes.items()}


def _health_warnings(health: HealthConfig | None) -> list[str]:
    if health is None or not health.test or health.test == ["NONE"]:
        return []
    return ["Health checks are not run yet: the container will have no health status"]


def _network_warnings(host_config: HostConfig) -> list[str]:
    published = bool(host_config.port_bindings) or host_config.publish_all_ports
    if not published:
        return []
    if host_config.network_mode == "host":
        return ["Published ports are discarded when using host network mode"]
    return ["Published ports are not available yet: the container has a loopback interface only"]
