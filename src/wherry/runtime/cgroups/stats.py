"""What a control group uses, in the form of `runc events --stats`: times in ns, sizes in bytes.

A number whose controller is missing is left out with its part, never shown as 0 used.
"""

from __future__ import annotations

from wherry.linux import cgroupfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Entry = dict[str, object]

_NO_LIMIT = (1 << 64) - 1
_TICKS_A_SECOND = 100  # USER_HZ, the same on every architecture


def v1_stats(directories: dict[str, str]) -> dict[str, Any]:
    """The numbers of a v1 group from its directory in each hierarchy."""
    parts = {
        "cpu": (("cpuacct", "cpu"), _v1_cpu),
        "cpuset": (("cpuset",), _v1_cpuset),
        "memory": (("memory",), _v1_memory),
        "pids": (("pids",), pids_stats),
        "blkio": (("blkio",), _v1_block_io),
    }
    stats: dict[str, Any] = {}
    for name, (controllers, measure) in parts.items():
        found = [directories[each] for each in controllers if each in directories]
        if len(found) == len(controllers):
            stats[name] = measure(*found)  # type: ignore[operator]
    return stats


def v2_stats(directory: str) -> dict[str, Any]:
    """The numbers of a v2 group."""
    stats: dict[str, Any] = {}
    for name, measure in (
        ("cpu", _v2_cpu),
        ("cpuset", _v2_cpuset),
        ("memory", _v2_memory),
        ("pids", pids_stats),
        ("blkio", _v2_block_io),
    ):
        try:
            stats[name] = measure(directory)
        except FileNotFoundError:
            continue  # the controller is not enabled
    return stats


def pids_stats(directory: str) -> dict[str, int]:
    """How many processes and threads there are, and may be (0: without limit)."""
    limit = cgroupfs.read(f"{directory}/pids.max").strip()
    return {"current": _number(directory, "pids.current"), "limit": 0 if limit == "max" else int(limit)}


def parse_flat(text: str) -> dict[str, int]:
    """A file of `key number` lines; other lines are passed over."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}


def _v1_cpu(accounting: str, cpu: str) -> dict[str, Any]:
    ticks = parse_flat(cgroupfs.read(f"{accounting}/cpuacct.stat"))
    throttling = parse_flat(cgroupfs.read(f"{cpu}/cpu.stat"))
    return {
        "usage": {
            "total": _number(accounting, "cpuacct.usage"),
            "percpu": [int(word) for word in cgroupfs.read(f"{accounting}/cpuacct.usage_percpu").split()],
            "kernel": ticks.get("system", 0) * 1_000_000_000 // _TICKS_A_SECOND,
            "user": ticks.get("user", 0) * 1_000_000_000 // _TICKS_A_SECOND,
        },
        "throttling": {
            "periods": throttling.get("nr_periods", 0),
            "throttledPeriods": throttling.get("nr_throttled", 0),
            "throttledTime": throttling.get("throttled_time", 0),
        },
    }


def _v1_cpuset(directory: str) -> dict[str, Any]:
    return {
        "cpus": expand_list(cgroupfs.read(f"{directory}/cpuset.cpus")),
        "mems": expand_list(cgroupfs.read(f"{directory}/cpuset.mems")),
    }


def _v2_cpuset(directory: str) -> dict[str, Any]:
    return {
        "cpus": expand_list(cgroupfs.read(f"{directory}/cpuset.cpus.effective")),
        "mems": expand_list(cgroupfs.read(f"{directory}/cpuset.mems.effective")),
    }


def expand_list(text: str) -> list[int]:
    """The numbers of a kernel list such as `0-2,4`."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    return numbers


def _v1_memory(directory: str) -> dict[str, Any]:
    raw = parse_flat(cgroupfs.read(f"{directory}/memory.stat"))
    stats: dict[str, Any] = {"cache": raw.get("cache", 0), "raw": raw}
    for name, infix in (("usage", ""), ("swap", "memsw."), ("kernel", "kmem."), ("kernelTCP", "kmem.tcp.")):
        try:
            stats[name] = {
                "usage": _number(directory, f"memory.{infix}usage_in_bytes"),
                "max": _number(directory, f"memory.{infix}max_usage_in_bytes"),
                "failcnt": _number(directory, f"memory.{infix}failcnt"),
                "limit": _number(directory, f"memory.{infix}limit_in_bytes"),
            }
        except FileNotFoundError:
            continue  # a kernel without accounting of swap
    return stats


def _v1_block_io(directory: str) -> dict[str, list[Entry]]:
    # BFQ's own counters where it schedules, else those of the throttle, which every request passes.
    for scheduler in ("bfq", "throttle"):
        try:
            stats = {
                "ioServiceBytesRecursive": _v1_entries(directory, f"{scheduler}.io_service_bytes_recursive"),
                "ioServicedRecursive": _v1_entries(directory, f"{scheduler}.io_serviced_recursive"),
            }
        except FileNotFoundError:
            continue
        if any(stats.values()):
            return stats
    return {"ioServiceBytesRecursive": [], "ioServicedRecursive": []}


def _v1_entries(directory: str, file: str) -> list[Entry]:
    entries: list[Entry] = []
    for line in cgroupfs.read(f"{directory}/blkio.{file}").splitlines():
        words = line.split()
        if len(words) == 3:  # the last line is the total of all devices
            major, _, minor = words[0].partition(":")
            entries.append(_entry(major, minor, words[1], words[2]))
    return entries


def _v2_cpu(directory: str) -> dict[str, Any]:
    times = parse_flat(cgroupfs.read(f"{directory}/cpu.stat"))
    return {
        "usage": {
            "total": times.get("usage_usec", 0) * 1000,
            "kernel": times.get("system_usec", 0) * 1000,
            "user": times.get("user_usec", 0) * 1000,
        },
        "throttling": {
            "periods": times.get("nr_periods", 0),
            "throttledPeriods": times.get("nr_throttled", 0),
            "throttledTime": times.get("throttled_usec", 0) * 1000,
        },
    }


def _v2_memory(directory: str) -> dict[str, Any]:
    raw = parse_flat(cgroupfs.read(f"{directory}/memory.stat"))
    usage = _number(directory, "memory.current")
    limit = _limit(directory, "memory.max")
    events = parse_flat(cgroupfs.read(f"{directory}/memory.events"))
    stats: dict[str, Any] = {
        "cache": raw.get("file", 0),
        "usage": {"usage": usage, "limit": limit, "failcnt": events.get("max", 0)},
        "raw": raw,
    }
    try:
        stats["usage"]["max"] = _number(directory, "memory.peak")  # Linux 5.19
    except FileNotFoundError:
        stats["usage"]["max"] = 0
    try:
        swap, swap_limit = _number(directory, "memory.swap.current"), _limit(directory, "memory.swap.max")
    except FileNotFoundError:
        return stats
    # As v1 counts: memory and swap together.
    total = _NO_LIMIT if _NO_LIMIT in (limit, swap_limit) else limit + swap_limit
    stats["swap"] = {"usage": usage + swap, "limit": total, "max": 0, "failcnt": 0}
    return stats


def _v2_block_io(directory: str) -> dict[str, list[Entry]]:
    sizes: list[Entry] = []
    counts: list[Entry] = []
    for line in cgroupfs.read(f"{directory}/io.stat").splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        numbers = dict(word.split("=", 1) for word in words if "=" in word)
        for letter, operation in (("r", "Read"), ("w", "Write"), ("d", "Discard")):
            if f"{letter}bytes" in numbers:
                sizes.append(_entry(major, minor, operation, numbers[f"{letter}bytes"]))
                counts.append(_entry(major, minor, operation, numbers[f"{letter}ios"]))
    return {"ioServiceBytesRecursive": sizes, "ioServicedRecursive": counts}


def _entry(major: str, minor: str, operation: str, value: str) -> Entry:
    return {"major": int(major), "minor": int(minor), "op": operation, "value": int(value)}


def _number(directory: str, file: str) -> int:
    return int(cgroupfs.read(f"{directory}/{file}"))


def _limit(directory: str, file: str) -> int:
    text = cgroupfs.read(f"{directory}/{file}").strip()
    return _NO_LIMIT if text == "max" else int(text)
