"""Gathering what a start needs besides the record: files, user, namespaces of others, devices."""

from __future__ import annotations

import os
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from wherry.core.spec import seccomp
from wherry.core.spec.users import FILE_LIMIT, User, resolve_user
from wherry.diagnostics.faults import fault_point
from wherry.engine import devices, network_files
from wherry.engine.containers.checks import HOST_GATEWAY
from wherry.engine.containers.directory import FILES, directory_of
from wherry.engine.containers.shared_memory import share_memory, shared_memory_of
from wherry.engine.host import this_host
from wherry.engine.networks.predefined import find_network
from wherry.engine.reaper import reaper_path
from wherry.engine.rootfs import LayeredRoot
from wherry.engine.security import parse_security_options
from wherry.engine.spec import SpecInputs, build_spec
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container
    from wherry.engine.engine import Engine
    from wherry.engine.records import ContainerRecord


class NetworkFailed(WherryError):
    """The container's network cannot be set up."""


class JoinFailed(WherryError):
    """Another container's namespace cannot be joined."""


async def container_spec(engine: Engine, container: Container) -> dict[str, Any]:
    """The OCI document of a start of `container`, with its files written.

    Raises:
        InvalidArgument: the user is not in the image.
        JoinFailed, Conflict: another container's namespace cannot be joined.
    """
    record = container.record
    check_network(record)
    joined = joined_namespaces(engine, record)
    inputs = await engine.threads.disk(partial(_gather, engine, record, joined))
    spec = build_spec(record, inputs)
    section = seccomp_section(engine, record, inputs, spec["process"]["capabilities"]["bounding"])
    if section is not None:
        spec["linux"]["seccomp"] = section
    return spec


def _gather(engine: Engine, record: ContainerRecord, joined: dict[str, str]) -> SpecInputs:
    """The part that reads and writes the disk."""
    host_config = record.host_config
    directory = directory_of(engine, record.id)
    _write_files(engine, record)
    fault_point("start.files-written")
    nodes, rules = devices.mapped_devices(host_config.devices)
    if host_config.privileged:
        nodes = [*devices.all_host_devices(), *nodes]
    return SpecInputs(
        host=this_host(),
        user=_user(engine, record),
        security=parse_security_options(host_config.security_opt, this_host()),
        files={at: str(directory / name) for at, name in FILES.items()},
        joined=joined,
        shm_source=_shm_source(engine, record),
        init=_init(engine, record),
        cgroup_parent=engine.config.cgroup_parent,
        default_shm_size=engine.config.default_shm_size,
        default_ulimits=engine.config.default_ulimits,
        device_nodes=nodes,
        mapped_rules=rules,
        oom_score_adjust=engine.config.oom_score_adjust,
        no_new_privileges=engine.config.no_new_privileges,
        default_cgroup_namespace=engine.config.default_cgroupns_mode,
    )


def _user(engine: Engine, record: ContainerRecord) -> User:
    """The user of the container, from its own passwd and group files, looked up anew at each start."""
    root = LayeredRoot([engine.snapshots.upper(record.id), *engine.snapshots.lowers(record.id)])
    return resolve_user(
        record.config.user,
        passwd=root.read("etc/passwd", limit_bytes=FILE_LIMIT),
        group=root.read("etc/group", limit_bytes=FILE_LIMIT),
        group_add=tuple(record.host_config.group_add or ()),
    )


def _write_files(engine: Engine, record: ContainerRecord) -> None:
    directory = directory_of(engine, record.id)
    host_config = record.host_config
    on_host = host_config.network_mode == "host"
    hosts = network_files.hosts_file(
        [_extra_host(entry, on_host) for entry in host_config.extra_hosts or ()],
        host_file=_host_file("/etc/hosts") if on_host else None,
    )
    resolv_conf = network_files.resolv_conf(
        _host_file("/etc/resolv.conf"),
        servers=host_config.dns or engine.config.dns,
        search=host_config.dns_search or engine.config.dns_search,
        options=host_config.dns_options or engine.config.dns_options,
        shares_host_network=on_host,
    )
    for name, text in (
        ("hostname", record.config.hostname + "\n"),
        ("hosts", hosts),
        ("resolv.conf", resolv_conf),
    ):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(directory / name, flags, 0o644)
        try:
            os.fchmod(fd, 0o644)
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _extra_host(entry: str, on_host: bool) -> str:
    if HOST_GATEWAY not in entry:
        return entry
    if not on_host:
        raise InvalidArgument("unable to derive the IP value for host-gateway")
    return entry.replace(HOST_GATEWAY, "127.0.0.1")


def _host_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def check_network(record: ContainerRecord) -> None:
    """Refuse a start in a network that is not here.

    Not at create: a 404 there tells a client to pull the image.

    Raises:
        NetworkFailed: with Docker's text.
    """
    mode = record.host_config.network_mode
    for name in [] if mode.startswith("container:") else [mode, *record.endpoints]:
        try:
            find_network(name)
        except WherryError as error:
            raise NetworkFailed(f"failed to set up container networking: {error}") from error


def joined_namespaces(engine: Engine, record: ContainerRecord) -> dict[str, str]:
    """The paths of the namespaces that the container shares with others.

    Raises:
        JoinFailed: no such container, or it does not run, or it does not share.
        Conflict: the container whose network is asked for does not run.
    """
    host_config = record.host_config
    joined: dict[str, str] = {}
    for kind, mode in (("ipc", host_config.ipc_mode), ("pid", host_config.pid_mode)):
        if mode.startswith("container:"):
            other = _donor(engine, mode, f"failed to join {kind.upper()} namespace")
            if kind == "ipc" and other.record.host_config.ipc_mode not in {"shareable", "host"}:
                raise JoinFailed(
                    f"failed to join IPC namespace: container {other.id}: non-shareable IPC "
                    "(hint: use IpcMode:shareable for the donor container)"
                )
            if not other.record.running:
                raise JoinFailed(
                    f"failed to join {kind.upper()} namespace: container {other.id} is not running"
                )
            joined[kind] = f"/proc/{other.record.state.pid}/ns/{kind}"
    if host_config.network_mode.startswith("container:"):
        other = _donor(engine, host_config.network_mode, "joining network namespace of container")
        if not other.record.running:
            raise Conflict(
                f"cannot join network namespace of a non running container: container {other.record.name} "
                f"is {other.status}"
            )
        joined["network"] = f"/proc/{other.record.state.pid}/ns/net"
    return joined


def _donor(engine: Engine, mode: str, what: str) -> Container:
    name = mode.partition(":")[2]
    try:
        return engine.containers.find(name)
    except NotFound:
        raise JoinFailed(f"{what}: No such container: {name}") from None


def _shm_source(engine: Engine, record: ContainerRecord) -> str | None:
    mode = record.host_config.ipc_mode
    if mode == "host":
        return "/dev/shm"
    if mode == "shareable":
        return share_memory(engine, record)
    if mode.startswith("container:"):
        other = engine.containers.find(mode.partition(":")[2])
        return shared_memory_of(engine, other.record)
    return None


def _init(engine: Engine, record: ContainerRecord) -> str:
    wanted = engine.config.init if record.host_config.init is None else record.host_config.init
    private = not record.host_config.pid_mode
    return str(reaper_path(engine)) if wanted and private else ""


def seccomp_section(
    engine: Engine, record: ContainerRecord, inputs: SpecInputs, bounding: list[str]
) -> dict[str, Any] | None:
    """`linux.seccomp` of the container; None where it is unconfined."""
    security = inputs.security
    if security.seccomp_unconfined or (record.host_config.privileged and security.seccomp is None):
        return None
    own = security.seccomp or engine.config.seccomp_profile
    if own is None:
        return _default_section(frozenset(bounding), inputs.host.architecture, inputs.host.kernel)
    return seccomp.resolve(
        own, capabilities=bounding, arch=inputs.host.architecture, kernel=inputs.host.kernel
    )


@lru_cache(maxsize=32)
def _default_section(
    capabilities: frozenset[str], architecture: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """The default profile, resolved once for each set of capabilities; not to be changed."""
    return seccomp.resolve(
        seccomp.default_profile(), capabilities=capabilities, arch=architecture, kernel=kernel
    )
