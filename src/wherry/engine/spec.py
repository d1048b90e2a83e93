"""A container's record as an OCI runtime document.

Pure: facts of the host, resolved names and files come in as `SpecInputs`, so that every
option can be tested by looking at the document.  Nothing of the image selects anything
outside its container.

Spec: runtime-spec 1.2; moby's daemon/oci_linux.go for what Docker's options mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from wherry.api.types import Ulimit
from wherry.core.spec import DEFAULT_PATH, default_linux_spec
from wherry.core.spec.capabilities import capability_sets, resolve_capabilities
from wherry.core.spec.users import User
from wherry.engine.devices import Node, Rule, device_rules
from wherry.engine.host import Host
from wherry.engine.records import ContainerRecord
from wherry.engine.resources import oci_resources, rlimits
from wherry.engine.security import SecurityOptions
from wherry.engine.spec_mounts import oci_mounts

INIT_PATH = "/sbin/docker-init"
_SHARED_MODES = {"shared": "shared", "rshared": "shared", "slave": "rslave", "rslave": "rslave"}


class SpecInputs(msgspec.Struct, kw_only=True, frozen=True):
    """Everything about a start that is not in the record.

    `joined` has a path for each namespace of another container; `files` the engine's files by
    destination; `init` the host path of the reaper, or nothing for none.
    """

    host: Host
    user: User
    security: SecurityOptions
    files: dict[str, str]
    joined: dict[str, str] = {}
    shm_source: str | None = None
    init: str = ""
    cgroup_parent: str = "/wherry"
    default_shm_size: int = 64 * 1024 * 1024
    default_ulimits: tuple[Ulimit, ...] = ()
    device_nodes: list[Node] = []
    mapped_rules: list[Rule] = []
    oom_score_adjust: int = 0
    no_new_privileges: bool = False
    default_cgroup_namespace: str = ""


def build_spec(record: ContainerRecord, inputs: SpecInputs) -> dict[str, Any]:
    """The document of one start, without its seccomp section.

    Raises:
        InvalidArgument: an option that the record should not have.
    """
    host_config = record.host_config
    private = private_namespaces(record, inputs)
    spec = default_linux_spec(
        cgroup_namespace="cgroup" in private, time_namespace=inputs.host.time_namespaces
    )
    spec["linux"]["namespaces"] = _namespaces(spec["linux"]["namespaces"], private, inputs)
    spec["process"] |= _process(record, inputs)
    spec["root"]["readonly"] = host_config.readonly_rootfs
    spec["mounts"] = _mounts(record, inputs)
    if "uts" in private:
        spec["hostname"] = record.config.hostname
    if host_config.annotations:
        spec["annotations"] = dict(host_config.annotations)
    linux = spec["linux"]
    linux["maskedPaths"] = list(host_config.masked_paths or ())
    linux["readonlyPaths"] = list(host_config.readonly_paths or ())
    linux["sysctl"] = _sysctls(record, inputs, private)
    linux["cgroupsPath"] = cgroups_path(record, inputs.cgroup_parent)
    linux["devices"] = [dict(node) for node in inputs.device_nodes]
    linux["resources"] = _resources(record, inputs, linux["resources"]["devices"])
    propagation = _rootfs_propagation(record)
    if propagation:
        linux["rootfsPropagation"] = propagation
    return spec


def private_namespaces(record: ContainerRecord, inputs: SpecInputs) -> set[str]:
    """The namespaces that are the container's own."""
    host_config = record.host_config
    private = {"mount", "network", "uts", "pid", "ipc"}
    for kind, mode in (
        ("network", host_config.network_mode),
        ("pid", host_config.pid_mode),
        ("ipc", host_config.ipc_mode),
        ("uts", host_config.uts_mode),
    ):
        if mode == "host" or kind in inputs.joined:
            private.discard(kind)
    mode = host_config.cgroupns_mode or inputs.default_cgroup_namespace
    if not mode:
        mode = "private" if inputs.host.cgroup_version == 2 else "host"
    if mode == "private":
        private.add("cgroup")
    return private


def _namespaces(default: list[dict[str, str]], private: set[str], inputs: SpecInputs) -> list[dict[str, str]]:
    kept = [entry for entry in default if entry["type"] in private or entry["type"] == "time"]
    joined = [{"type": kind, "path": path} for kind, path in inputs.joined.items()]
    return kept + joined


def _process(record: ContainerRecord, inputs: SpecInputs) -> dict[str, Any]:
    config, host_config = record.config, record.host_config
    args = [record.path, *record.args]
    capabilities = resolve_capabilities(
        add=host_config.cap_add or (),
        drop=host_config.cap_drop or (),
        privileged=host_config.privileged,
        available=inputs.host.capabilities,
    )
    no_new_privileges = inputs.security.no_new_privileges
    process = {
        "terminal": config.tty,
        "user": oci_user(inputs.user),
        "args": [INIT_PATH, "--", *args] if inputs.init else args,
        "env": process_env(record, inputs.user),
        "cwd": config.working_dir or "/",
        "capabilities": capability_sets(capabilities),
        "noNewPrivileges": inputs.no_new_privileges if no_new_privileges is None else no_new_privileges,
        "oomScoreAdj": host_config.oom_score_adj or inputs.oom_score_adjust,
        "rlimits": rlimits(host_config.ulimits, inputs.default_ulimits),
    }
    if config.tty and host_config.console_size != (0, 0):
        process["consoleSize"] = {"height": host_config.console_size[0], "width": host_config.console_size[1]}
    if inputs.security.apparmor and inputs.security.apparmor != "unconfined":
        process["apparmorProfile"] = inputs.security.apparmor
    return process


def exec_process(
    record: ContainerRecord,
    inputs: SpecInputs,
    *,
    args: list[str],
    env: Iterable[str],
    cwd: str,
    tty: bool,
    privileged: bool,
    console_size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The process of an exec: confined as the container's own, but for `privileged`."""
    process = _process(record, inputs)
    process |= {
        "terminal": tty,
        "args": args,
        "cwd": cwd or record.config.working_dir or "/",
        "env": process_env(record, inputs.user, tty=tty, extra=env),
    }
    if privileged:
        process["capabilities"] = capability_sets(
            resolve_capabilities(privileged=True, available=inputs.host.capabilities)
        )
    process.pop("consoleSize", None)
    if tty and console_size:
        process["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    return process


def oci_user(user: User) -> dict[str, Any]:
    """`user` as the runtime wants it."""
    return {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.additional_gids)}


def process_env(
    record: ContainerRecord, user: User, *, tty: bool | None = None, extra: Iterable[str] = ()
) -> list[str]:
    """The environment: Docker's three, the container's own, `extra`, and HOME where none is given."""
    config = record.config
    base = [DEFAULT_PATH, f"HOSTNAME={config.hostname}"]
    if config.tty if tty is None else tty:
        base.append("TERM=xterm")
    env = merge_env(merge_env(base, config.env or ()), extra)
    if not any(entry.startswith("HOME=") for entry in env):
        env.append(f"HOME={user.home}")
    return env


def merge_env(base: Iterable[str], changes: Iterable[str]) -> list[str]:
    """`base` with `changes`: a known key is replaced where it stands, one without `=` goes.

    A value is literal: nothing is ever taken from the daemon's own environment.
    """
    merged = {entry.partition("=")[0]: entry for entry in base}
    for entry in changes:
        key, equals, _ = entry.partition("=")
        if not equals or not key:
            merged.pop(key, None)
        else:
            merged[key] = entry
    return list(merged.values())


def cgroups_path(record: ContainerRecord, default_parent: str) -> str:
    """Where the container's cgroup is: below a path, or as a scope of a systemd slice."""
    parent = record.host_config.cgroup_parent or default_parent
    if parent.endswith(".slice"):
        return f"{parent.lstrip('/')}:wherry:{record.id}"
    return f"{'/' + parent.strip('/') if parent.strip('/') else ''}/{record.id}"


def _mounts(record: ContainerRecord, inputs: SpecInputs) -> list[dict[str, Any]]:
    host_config = record.host_config
    mounts = oci_mounts(
        record.mounts,
        files=inputs.files,
        shm_size=host_config.shm_size or inputs.default_shm_size,
        shm_source=inputs.shm_source,
        has_shm=host_config.ipc_mode != "none",
        privileged=host_config.privileged,
        readonly_rootfs=host_config.readonly_rootfs,
        writable_cgroups=bool(inputs.security.writable_cgroups),
        recursive_read_only=inputs.host.recursive_read_only,
    )
    if inputs.init:
        options = ["bind", "ro", "rprivate"]
        mounts.append({"destination": INIT_PATH, "type": "bind", "source": inputs.init, "options": options})
    return mounts


def _sysctls(record: ContainerRecord, inputs: SpecInputs, private: set[str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    if "network" in private:
        if inputs.host.unprivileged_ports:
            chosen["net.ipv4.ip_unprivileged_port_start"] = "0"
        if inputs.host.ping_range:
            chosen["net.ipv4.ping_group_range"] = "0 2147483647"
    if record.config.domainname and "uts" in private:
        chosen["kernel.domainname"] = record.config.domainname
    return chosen | (record.host_config.sysctls or {})


def _resources(record: ContainerRecord, inputs: SpecInputs, default_rules: list[Rule]) -> dict[str, Any]:
    resources = oci_resources(record.host_config)
    if inputs.host.cgroup_version == 2:
        resources.get("memory", {}).pop("disableOOMKiller", None)
    if not inputs.host.swap_limit:
        resources.get("memory", {}).pop("swap", None)
    if record.host_config.privileged:
        resources["devices"] = [{"allow": True, "access": "rwm"}]
    else:
        own = device_rules(record.host_config.device_cgroup_rules)
        resources["devices"] = [*default_rules, *inputs.mapped_rules, *own]
    return resources


def _rootfs_propagation(record: ContainerRecord) -> str:
    asked = {_SHARED_MODES.get(point.propagation, "") for point in record.mounts}
    return "shared" if "shared" in asked else "rslave" if "rslave" in asked else ""
