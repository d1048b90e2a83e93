"""The request bodies of the Engine API as values.

A member is named as Go names it on the wire; `decode` reads a body as Go's decoder would:
keys match in any case, null means "not given", unknown members are ignored.  A member that
distinguishes null from empty defaults to None; the text of a failure names the member.

Every Struct here is also what the engine keeps in its records and shows in `inspect`, so
encoding one gives Docker's own member names.

Spec: Docker Engine API 1.56, definitions.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from wherry.errors import InvalidArgument


class HealthConfig(msgspec.Struct, kw_only=True, frozen=True, rename="pascal", omit_defaults=True):
    """How to probe a container's health; durations in nanoseconds, 0 inherits."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    retries: int = 0
    start_period: int = 0
    start_interval: int = 0


class ContainerConfig(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """What runs in a container, independent of the host."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any]] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: list[str] | None = None


class LogConfig(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """A log driver and its options; an empty type is the daemon's default."""

    type: str = ""
    config: dict[str, str] = {}


class RestartPolicy(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """Whether an exited container starts again."""

    name: str = ""
    maximum_retry_count: int = 0


class PortBinding(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """A host address for a container's port; an empty port lets the engine choose."""

    host_ip: str = ""
    host_port: str = ""


class BindOptions(msgspec.Struct, kw_only=True, frozen=True, rename="pascal", omit_defaults=True):
    """Options of a bind mount."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverConfig(msgspec.Struct, kw_only=True, frozen=True, rename="pascal", omit_defaults=True):
    """A volume driver and its options."""

    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(msgspec.Struct, kw_only=True, frozen=True, rename="pascal", omit_defaults=True):
    """Options of a volume mount."""

    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: DriverConfig | None = None
    subpath: str = ""


class ImageOptions(msgspec.Struct, kw_only=True, frozen=True, rename="pascal", omit_defaults=True):
    """Options of an image mount."""

    subpath: str = ""


class TmpfsOptions(msgspec.Struct, kw_only=True, frozen=True, rename="pascal", omit_defaults=True):
    """Options of a tmpfs mount; `mode` holds permission bits."""

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class Mount(msgspec.Struct, kw_only=True, frozen=True, rename="pascal", omit_defaults=True):
    """A mount asked for in structured form."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class WeightDevice(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """Block I/O weight of one device."""

    path: str = ""
    weight: int = 0


class ThrottleDevice(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """Block I/O limit of one device, bytes or operations a second."""

    path: str = ""
    rate: int = 0


class DeviceMapping(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """A host device shown to the container."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class DeviceRequest(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """Devices asked of a device driver, such as GPUs."""

    driver: str = ""
    count: int = 0
    device_ids: list[str] | None = msgspec.field(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = None
    options: dict[str, str] | None = None


class Ulimit(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """A resource limit by its short name (`nofile`)."""

    name: str = ""
    soft: int = 0
    hard: int = 0


class Resources(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """The cgroup's share of a host configuration; 0 or null means unlimited."""

    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[DeviceRequest] | None = None
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = msgspec.field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = msgspec.field(default=0, name="IOMaximumBandwidth")


class HostConfig(Resources, kw_only=True, frozen=True, rename="pascal"):
    """What a container gets of its host."""

    binds: list[str] | None = None
    container_id_file: str = msgspec.field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = ""
    port_bindings: dict[str, list[PortBinding] | None] = {}
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: tuple[int, int] = (0, 0)
    annotations: dict[str, str] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = msgspec.field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    isolation: str = ""
    mounts: list[Mount] | None = None
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | None = None


class EndpointIPAMConfig(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Addresses asked for on one network."""

    ipv4_address: str = msgspec.field(default="", name="IPv4Address")
    ipv6_address: str = msgspec.field(default="", name="IPv6Address")
    link_local_ips: list[str] | None = msgspec.field(default=None, name="LinkLocalIPs")


class EndpointSettings(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """A container's place on one network, as asked for."""

    ipam_config: EndpointIPAMConfig | None = msgspec.field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    mac_address: str = ""
    aliases: list[str] | None = None
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    network_id: str = msgspec.field(default="", name="NetworkID")
    endpoint_id: str = msgspec.field(default="", name="EndpointID")


class NetworkingConfig(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """The networks a container joins, by name."""

    endpoints_config: dict[str, EndpointSettings] = {}


class ContainerCreateRequest(ContainerConfig, kw_only=True, frozen=True, rename="pascal"):
    """The body of `POST /containers/create`."""

    host_config: HostConfig = HostConfig()
    networking_config: NetworkingConfig = NetworkingConfig()


class ContainerUpdateRequest(Resources, kw_only=True, frozen=True, rename="pascal"):
    """The body of `POST /containers/{id}/update`."""

    restart_policy: RestartPolicy = RestartPolicy()


class ExecConfig(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """The body of `POST /containers/{id}/exec`."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    env: list[str] | None = None
    working_dir: str = ""
    cmd: list[str] | None = None


class ExecStartRequest(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """The body of `POST /exec/{id}/start`."""

    detach: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None


class VolumeCreateRequest(msgspec.Struct, kw_only=True, frozen=True, rename="pascal"):
    """The body of `POST /volumes/create`."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    cluster_volume_spec: dict[str, Any] | None = None


Body = TypeVar("Body", bound=msgspec.Struct)
_COMMAND_MEMBERS = frozenset({"Cmd", "Entrypoint", "Shell"})  # Docker also takes one string for these


def decode(body: bytes, kind: type[Body]) -> Body:
    """The value of a JSON body.

    Raises:
        InvalidArgument: not JSON, something after it, or a member of the wrong type.
    """
    if not body.strip():
        raise InvalidArgument("invalid JSON: got EOF while reading request body")
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        if "trailing characters" in str(error):
            raise InvalidArgument("unexpected content after JSON") from None
        raise InvalidArgument(f"invalid JSON: {error}") from None
    except RecursionError:
        raise InvalidArgument("invalid JSON: nested too deeply") from None
    return convert(document, kind)


def convert(document: Any, kind: type[Body]) -> Body:
    """`document`, as decoded from JSON, as a value of `kind`; see `decode`."""
    try:
        return msgspec.convert(_as_go_reads(document, kind), kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from None


def to_wire(value: msgspec.Struct) -> dict[str, Any]:
    """`value` as a JSON-able dict with the wire's member names."""
    wire: dict[str, Any] = msgspec.to_builtins(value)
    return wire


def _as_go_reads(value: Any, hint: Any) -> Any:
    """`value` with member names and nulls as Go's decoder would take them for the type `hint`."""
    hint, nullable = _without_none(hint)
    if value is None:
        return None if nullable else _zero(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _as_struct(value, hint) if isinstance(value, dict) else value
    inner = get_args(hint)
    if get_origin(hint) is dict and isinstance(value, dict):
        return {key: _as_go_reads(item, inner[1]) for key, item in value.items()}
    if get_origin(hint) is list and isinstance(value, list):
        return [_as_go_reads(item, inner[0]) for item in value]
    return value


def _as_struct(document: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    members = _members(kind)
    found: dict[str, Any] = {}
    for key, value in document.items():
        member = members.get(key.lower())
        if member is None or value is None:
            continue
        name, hint = member
        if name in _COMMAND_MEMBERS and isinstance(value, str):
            value = [value]
        found[name] = _as_go_reads(value, hint)
    return found


def _without_none(hint: Any) -> tuple[Any, bool]:
    if isinstance(hint, UnionType):
        return next(part for part in get_args(hint) if part is not NoneType), True
    return hint, False


def _zero(hint: Any) -> Any:
    """Go's zero value of a type inside a list or map."""
    if hint is Any or get_origin(hint) is tuple:
        return None
    return {} if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else (get_origin(hint) or hint)()


@cache
def _members(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    """Lower-case wire name → (wire name, type)."""
    hints = get_type_hints(kind)
    return {
        field.encode_name.lower(): (field.encode_name, hints[field.name])
        for field in msgspec.structs.fields(kind)
    }
