"""`--security-opt`, modes of namespaces and sysctls: parsed and checked.

What cannot be applied is refused here or fails the start; nothing is silently dropped.

Spec: moby's daemon/daemon_unix.go, parseSecurityOpt; security rule R9 of the project.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wherry.api.types import HostConfig
from wherry.core.spec import seccomp
from wherry.engine.host import Host
from wherry.errors import InvalidArgument

_IPC_SYSCTLS = frozenset({
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
})  # fmt: skip
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class SecurityOptions(msgspec.Struct, kw_only=True, frozen=True):
    """What the options ask for; a profile of None is the default one."""

    no_new_privileges: bool | None = None
    seccomp: dict[str, Any] | None = None
    seccomp_unconfined: bool = False
    apparmor: str = ""
    labels: tuple[str, ...] = ()
    writable_cgroups: bool | None = None


def parse_security_options(options: list[str] | None, host: Host) -> SecurityOptions:
    """The meaning of `SecurityOpt`.

    Raises:
        InvalidArgument: an unknown option, or one that this host cannot apply.
    """
    found: dict[str, Any] = {}
    labels: list[str] = []
    for option in options or ():
        if option in {"no-new-privileges", "disable"}:
            found |= {"no_new_privileges": True} if option != "disable" else {}
            labels += ["disable"] if option == "disable" else []
            continue
        key, value = _split(option)
        if key == "label":
            labels.append(value)
        else:
            found |= _option(option, key, value)
    if found.get("apparmor", "unconfined") != "unconfined" and not host.apparmor:
        raise InvalidArgument("AppArmor is not enabled on this host; use apparmor=unconfined")
    if any(label != "disable" for label in labels):
        raise InvalidArgument("SELinux is not enabled in this engine; only label=disable can be applied")
    return SecurityOptions(labels=tuple(labels), **found)


def _split(option: str) -> tuple[str, str]:
    separator = "=" if "=" in option else ":"
    key, found, value = option.partition(separator)
    if not found:
        raise InvalidArgument(f'invalid --security-opt 1: "{option}"')
    return key, value


def _option(option: str, key: str, value: str) -> dict[str, Any]:
    if key == "apparmor":
        return {"apparmor": value}
    if key == "seccomp":
        if value == "unconfined":
            return {"seccomp_unconfined": True}
        return {} if value == "builtin" else {"seccomp": _seccomp_profile(value)}
    if key in {"no-new-privileges", "writable-cgroups"} and value in _TRUE | _FALSE:
        return {key.replace("-", "_"): value in _TRUE}
    raise InvalidArgument(f'invalid --security-opt 2: "{option}"')


def _seccomp_profile(text: str) -> dict[str, Any]:
    """The profile of a client, which sends the file's content.  An empty one would allow everything."""
    try:
        return dict(seccomp.parse_profile(text))
    except InvalidArgument as error:
        raise InvalidArgument(f"opening seccomp profile failed: {error}") from None


def check_modes(host_config: HostConfig) -> None:
    """Refuse modes of namespaces that do not exist.

    Raises:
        InvalidArgument: with Docker's text.
    """
    ipc, pid = host_config.ipc_mode, host_config.pid_mode
    if ipc not in {"", "none", "private", "shareable", "host"} and not _of_container(ipc):
        raise InvalidArgument(f"invalid IPC mode: {ipc}")
    if pid not in {"", "host"} and not _of_container(pid):
        raise InvalidArgument(f"invalid PID mode: {pid}")
    if host_config.uts_mode not in {"", "host"}:
        raise InvalidArgument(f"invalid UTS mode: {host_config.uts_mode}")
    if host_config.userns_mode not in {"", "host"}:
        raise InvalidArgument(f"invalid user namespace mode: {host_config.userns_mode}")
    if host_config.cgroupns_mode not in {"", "private", "host"}:
        raise InvalidArgument(f"invalid cgroup namespace mode: {host_config.cgroupns_mode}")


def _of_container(mode: str) -> bool:
    kind, _, name = mode.partition(":")
    return kind == "container" and bool(name)


def check_sysctls(
    sysctls: dict[str, str] | None, *, private_network: bool, private_ipc: bool, private_uts: bool
) -> None:
    """Refuse kernel parameters that are not the container's own.

    Raises:
        InvalidArgument: a parameter of the whole host, of a shared namespace, or an odd name.
    """
    for name, value in (sysctls or {}).items():
        if "/" in name or ".." in name or not name.isprintable() or "=" in name or " " in name:
            raise InvalidArgument(f"invalid sysctl name: {name!a}")
        if any(letter in value for letter in "\n\0"):
            raise InvalidArgument(f"invalid value of sysctl {name}: {value!a}")
        if name.startswith("net."):
            allowed = private_network
        elif name in _IPC_SYSCTLS or name.startswith("fs.mqueue."):
            allowed = private_ipc
        else:
            allowed = private_uts and name == "kernel.domainname"
        if not allowed:
            raise InvalidArgument(f'sysctl "{name}" is not in a separate kernel namespace')
