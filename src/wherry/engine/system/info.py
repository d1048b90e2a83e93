"""What this engine has and can, truthfully."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from wherry import __version__
from wherry.engine.host import Host, this_host
from wherry.engine.system.identity import engine_id
from wherry.engine.times import rfc3339

if TYPE_CHECKING:
    from wherry.engine.engine import Engine

RUNTIME = "wherry"
INDEX_SERVER = "https://index.docker.io/v1/"


async def system_info(engine: Engine, *, version: tuple[int, int] = (1, 56)) -> dict[str, Any]:
    """The members of `GET /info`.

    Spec: Docker Engine API, SystemInfo.
    """
    host = this_host()
    images = {str(image.target.digest) for image in engine.images.list(engine.tenant)}
    wire: dict[str, Any] = {
        "ID": await engine.threads.disk(engine_id, engine.config.data_root),
        **_counts(engine),
        "Images": len(images),
        "Driver": engine.snapshots.name,
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "DockerRootDir": str(engine.config.data_root),
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file"],
        },
        **_process(engine),
        **_host(host),
        **_runtime(engine, host),
        "RegistryConfig": _registry_config(engine),
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "Warnings": _warnings(engine),
    }
    if version >= (1, 49):
        wire["FirewallBackend"] = {"Driver": ""}
    if version >= (1, 50):
        wire["DiscoveredDevices"] = []
    return wire


def _counts(engine: Engine) -> dict[str, int]:
    states = Counter(container.status for container in engine.containers)
    running, paused = states["running"] + states["restarting"], states["paused"]
    return {
        "Containers": len(engine.containers),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(engine.containers) - running - paused,
    }


def _process(engine: Engine) -> dict[str, Any]:
    return {
        "Debug": engine.config.debug,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "NEventsListener": engine.events.listeners,
        "SystemTime": rfc3339(time.time_ns()),
        "LoggingDriver": engine.config.log_driver,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Labels": list(engine.config.labels),
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "IndexServerAddress": INDEX_SERVER,
        "GenericResources": None,
        "LiveRestoreEnabled": True,
        "ProductLicense": "",
        "DefaultAddressPools": [],
        "CDISpecDirs": [],
    }


def _host(host: Host) -> dict[str, Any]:
    on_v1 = host.cgroup_version == 1
    return {
        "MemoryLimit": True,
        "SwapLimit": host.swap_limit,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "OomKillDisable": on_v1,
        "IPv4Forwarding": _text("/proc/sys/net/ipv4/ip_forward") == "1",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(host.cgroup_version),
        "KernelVersion": host.kernel_release,
        "OperatingSystem": _os_release("PRETTY_NAME", "Linux"),
        "OSVersion": _os_release("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": host.architecture,
        "NCPU": host.cpus,
        "MemTotal": host.memory_bytes,
        "Name": host.name,
    }


def _runtime(engine: Engine, host: Host) -> dict[str, Any]:
    security = ["name=seccomp,profile=builtin"]
    if engine.config.no_new_privileges:
        security.append("name=no-new-privileges")
    if host.cgroup_version == 2:
        security.append("name=cgroupns")
    not_here = {"ID": "N/A"}
    return {
        "Runtimes": {RUNTIME: {"path": "wherry-runtime"}},
        "DefaultRuntime": RUNTIME,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": not_here,
        "RuncCommit": not_here,
        "InitCommit": {"ID": __version__},
        "SecurityOptions": security,
    }


def _registry_config(engine: Engine) -> dict[str, Any]:
    insecure = engine.config.insecure_registries
    ranges = [entry for entry in insecure if "/" in entry]
    official = {
        "Name": "docker.io",
        "Mirrors": list(engine.config.registry_mirrors),
        "Secure": True,
        "Official": True,
    }
    hosts = {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False}
        for name in insecure
        if "/" not in name
    }
    return {
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", *ranges],
        "IndexConfigs": {"docker.io": official, **hosts},
        "Mirrors": list(engine.config.registry_mirrors) or None,
    }


def _warnings(engine: Engine) -> list[str]:
    warnings = ["WARNING: bridge networking and published ports are not available yet"]
    if engine.snapshots.name == "native":
        warnings.append("WARNING: the native snapshotter copies each layer: it is slow and takes much space")
    return warnings


def _os_release(key: str, default: str) -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == key:
            return value.strip().strip('"')
    return default


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
