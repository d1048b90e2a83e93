"""Facts about this host that decide what a container can be given."""

from __future__ import annotations

import glob
import os
from functools import cache

import msgspec

from wherry.linux import capabilities, cgroupfs


class Host(msgspec.Struct, kw_only=True, frozen=True):
    """The host as it is when the engine opens."""

    name: str
    kernel: tuple[int, int]
    kernel_release: str
    architecture: str
    cgroup_version: int
    capabilities: frozenset[str]
    cpus: int
    online_cpus: str
    memory_nodes: str
    memory_bytes: int
    swap_limit: bool
    time_namespaces: bool
    apparmor: bool
    thermal_paths: tuple[str, ...]
    unprivileged_ports: bool
    ping_range: bool

    @property
    def recursive_read_only(self) -> bool:
        """Whether a read-only bind can reach the mounts below it: mount_setattr(2), Linux 5.12."""
        return self.kernel >= (5, 12)


@cache
def this_host() -> Host:
    """This host, looked at once."""
    system = os.uname()
    numbers = system.release.split("-")[0].split(".")
    return Host(
        name=system.nodename,
        kernel=(int(numbers[0]), int("".join(c for c in numbers[1] if c.isdigit()) or 0)),
        kernel_release=system.release,
        architecture=system.machine,
        cgroup_version=cgroupfs.layout().version,
        capabilities=capabilities.bounding(),
        cpus=len(os.sched_getaffinity(0)) or 1,
        online_cpus=_text("/sys/devices/system/cpu/online") or f"0-{(os.cpu_count() or 1) - 1}",
        memory_nodes=_text("/sys/devices/system/node/has_memory") or "0",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        swap_limit=_limits_swap(),
        time_namespaces=os.path.exists("/proc/self/ns/time"),
        apparmor=_text("/sys/module/apparmor/parameters/enabled") == "Y",
        thermal_paths=tuple(sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"))),
        unprivileged_ports=os.path.exists("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
        ping_range=os.path.exists("/proc/sys/net/ipv4/ping_group_range"),
    )


def _limits_swap() -> bool:
    """Whether memory and swap can be limited together, which kernels are built or booted without."""
    layout = cgroupfs.layout()
    if layout.version == 2:
        group = cgroupfs.parse_proc_cgroup(_text("/proc/self/cgroup")).get("", "/")
        return limits_swap_v2(layout.unified or "", group)
    return os.path.exists(f"{layout.mounts.get('memory', '')}/memory.memsw.limit_in_bytes")


def limits_swap_v2(root: str, group: str) -> bool:
    """What the nearest group with a memory controller, from our own `group` up, has to say."""
    while group.strip("/"):
        if os.path.exists(f"{root}{group}/memory.current"):
            return os.path.exists(f"{root}{group}/memory.swap.max")
        group = os.path.dirname(group)
    return os.path.exists("/proc/swaps")  # the root has no limits, and a kernel without swap no such file


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
