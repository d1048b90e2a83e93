"""A container's share of the machine: checked against the host, and as the runtime wants it.

Spec: Docker Engine API, Resources; runtime-spec, config-linux.md; texts of daemon_unix.go.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from wherry.api.types import Resources, ThrottleDevice, Ulimit
from wherry.engine.host import Host
from wherry.errors import InvalidArgument

MINIMUM_MEMORY = 6 * 1024 * 1024
CPU_PERIOD_US = 100_000
_NANO = 1_000_000_000
_NO_SWAP_LIMIT = (
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
    "Memory limited without swap."
)
_UNLIMITED_WITHOUT_KILLER = (
    "OOM killer is disabled for the container, but no memory limit is set, "
    "this can result in the system running out of resources."
)
ULIMITS = {
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
}  # fmt: skip


def check_resources(resources: Resources, host: Host) -> list[str]:
    """Refuse what the kernel would, before anything is made; returns warnings.

    Raises:
        InvalidArgument: with Docker's text.
    """
    _check_memory(resources)
    _check_cpu(resources, host)
    if resources.blkio_weight and not 10 <= resources.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    for ulimit in resources.ulimits or ():
        _check_ulimit(ulimit)
    return _warnings(resources, host)


def _warnings(resources: Resources, host: Host) -> list[str]:
    """What is taken but will not be as asked."""
    warnings: list[str] = []
    if resources.memory > 0 and not host.swap_limit:
        warnings.append(_NO_SWAP_LIMIT)
    if resources.oom_kill_disable and host.cgroup_version == 2:
        warnings.append("OomKillDisable flag is not supported in cgroup v2 and is discarded.")
    elif resources.oom_kill_disable and resources.memory == 0:
        warnings.append(_UNLIMITED_WITHOUT_KILLER)
    if resources.memory_swappiness is not None and host.cgroup_version == 2:
        warnings.append("Memory swappiness is not supported in cgroup v2 and is discarded.")
    return warnings


def _check_memory(resources: Resources) -> None:
    memory, swap, reservation = resources.memory, resources.memory_swap, resources.memory_reservation
    swappiness = resources.memory_swappiness
    if memory != 0 and memory < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidArgument(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if reservation > 0 and reservation < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if memory > 0 and reservation > memory:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(resources: Resources, host: Host) -> None:
    period, quota = resources.cpu_period, resources.cpu_quota
    if resources.nano_cpus > 0 and period > 0:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if resources.nano_cpus > 0 and quota > 0:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    least, most = _NANO // 100, host.cpus * _NANO
    if resources.nano_cpus != 0 and not least <= resources.nano_cpus <= most:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {host.cpus}.00, as there are only {host.cpus} CPUs available"
        )
    if period != 0 and not 1000 <= period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if resources.cpu_shares < 0:
        raise InvalidArgument(
            f"invalid CPU shares ({resources.cpu_shares}): value must be a positive integer"
        )
    _check_set(resources.cpuset_cpus, host.online_cpus, "CPUs")
    _check_set(resources.cpuset_mems, host.memory_nodes, "memory nodes")


def _check_set(asked: str, available: str, what: str) -> None:
    if not asked:
        return
    kind = "cpuset cpus" if what == "CPUs" else "cpuset mems"
    wanted = parse_set(asked)
    if wanted is None:
        raise InvalidArgument(f"Invalid value {asked} for {kind}")
    if not wanted <= (parse_set(available) or set()):
        raise InvalidArgument(
            f"Requested {what} are not available - requested {asked}, available: {available}"
        )


def parse_set(text: str) -> set[int] | None:
    """The members of a list such as `0-3,7`; None when it is not one."""
    members: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = [first, last] if dash else [first, first]
        if not all(end.isascii() and end.isdigit() and len(end) < 6 for end in ends):
            return None
        members |= set(range(int(ends[0]), int(ends[1]) + 1))
    return members


def _check_ulimit(ulimit: Ulimit) -> None:
    if ulimit.name not in ULIMITS:
        raise InvalidArgument(f"invalid ulimit type: {ulimit.name}")
    if ulimit.hard != -1 and (ulimit.soft == -1 or ulimit.soft > ulimit.hard):
        raise InvalidArgument(f"ulimit soft limit must be less than or equal to hard limit: "
                              f"{ulimit.soft} > {ulimit.hard}")  # fmt: skip


def oci_resources(resources: Resources) -> dict[str, Any]:
    """`linux.resources` without the device rules; what is not limited is left out."""
    parts = {
        "memory": _memory(resources),
        "cpu": _cpu(resources),
        "blockIO": _block_io(resources),
        "pids": {} if not resources.pids_limit else {"limit": max(resources.pids_limit, -1)},
    }
    return {name: part for name, part in parts.items() if part}


def _memory(resources: Resources) -> dict[str, Any]:
    section: dict[str, Any] = {}
    if resources.memory > 0:
        section["limit"] = resources.memory
        section["swap"] = resources.memory_swap or 2 * resources.memory
    elif resources.memory_swap == -1:
        section["swap"] = -1
    if resources.memory_reservation > 0:
        section["reservation"] = resources.memory_reservation
    if resources.memory_swappiness is not None and resources.memory_swappiness >= 0:
        section["swappiness"] = resources.memory_swappiness
    if resources.oom_kill_disable:
        section["disableOOMKiller"] = True
    return section


def _cpu(resources: Resources) -> dict[str, Any]:
    quota, period = resources.cpu_quota, resources.cpu_period
    if resources.nano_cpus > 0:
        period = CPU_PERIOD_US
        quota = resources.nano_cpus * CPU_PERIOD_US // _NANO
    values: dict[str, Any] = {
        "shares": resources.cpu_shares,
        "quota": quota,
        "period": period,
        "realtimePeriod": resources.cpu_realtime_period,
        "realtimeRuntime": resources.cpu_realtime_runtime,
        "cpus": resources.cpuset_cpus,
        "mems": resources.cpuset_mems,
    }
    return {name: value for name, value in values.items() if value}


def _block_io(resources: Resources) -> dict[str, Any]:
    section: dict[str, Any] = {"weight": resources.blkio_weight} if resources.blkio_weight else {}
    if resources.blkio_weight_device:
        section["weightDevice"] = [
            {**_device_number(device.path), "weight": device.weight}
            for device in resources.blkio_weight_device
        ]
    throttles = {
        "throttleReadBpsDevice": resources.blkio_device_read_bps,
        "throttleWriteBpsDevice": resources.blkio_device_write_bps,
        "throttleReadIOPSDevice": resources.blkio_device_read_iops,
        "throttleWriteIOPSDevice": resources.blkio_device_write_iops,
    }
    return section | {name: _throttle(devices) for name, devices in throttles.items() if devices}


def _throttle(devices: list[ThrottleDevice]) -> list[dict[str, int]]:
    return [{**_device_number(device.path), "rate": device.rate} for device in devices]


def _device_number(path: str) -> dict[str, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidArgument(f"stat {path}: {os.strerror(error.errno or 0).lower()}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidArgument(f"{path} is not a block device")
    return {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}


def rlimits(own: list[Ulimit] | None, defaults: tuple[Ulimit, ...]) -> list[dict[str, Any]]:
    """The process's limits: the daemon's defaults, then the container's own."""
    chosen = {ulimit.name: ulimit for ulimit in defaults} | {ulimit.name: ulimit for ulimit in own or ()}
    return [
        {"type": f"RLIMIT_{ulimit.name.upper()}", "soft": _limit(ulimit.soft), "hard": _limit(ulimit.hard)}
        for ulimit in chosen.values()
    ]


def _limit(value: int) -> int:
    return value % 2**64  # -1 is unlimited
