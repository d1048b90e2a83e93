"""Control groups, version 1: a directory in each hierarchy, also on hosts that mount v2 beside them.

Limits are planned as (controller, file, value) by pure functions and then written; only memory needs to
know what is in force already, since the kernel keeps memory <= memory + swap at every moment.
"""

from __future__ import annotations

import os
import time

from wherry.diagnostics.faults import fault_point
from wherry.errors import DeadlineExceeded, InvalidArgument, Unsupported
from wherry.linux import cgroupfs
from wherry.runtime.cgroups import (
    SIGKILL,
    Cgroup,
    CgroupInUse,
    LimitRefused,
    descendants,
    is_gone,
    make_directories,
    write_limit,
    write_lines,
)
from wherry.runtime.cgroups.conversions import page_size_name, pids_maximum
from wherry.runtime.cgroups.devices import (
    ALL_DEVICES,
    needs_no_device_rules,
    parse_list,
    reduce,
    v1_writes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.runtime.cgroups import Resources

    Setting = tuple[str, str, str]  # controller, file, value

_LEAST_SHARES, _MOST_SHARES = 2, 262144
_FREEZE_DEADLINE_S = 2.0
_KILL_FREEZE_S = 0.1
# The hierarchy whose member list counts as the group's: the freezer, as it guards the kill.
_PROCESS_CONTROLLERS = ("freezer", "pids", "devices", "memory", "name=systemd")


class V1Cgroup(Cgroup):
    """A container's directories in the hierarchies of v1."""

    __slots__ = ("_mounts", "_tasks")

    version = 1

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._mounts = cgroupfs.layout().mounts
        self._tasks: list[int] = []

    def directories(self) -> dict[str, str]:
        return {controller: mountpoint + self.path for controller, mountpoint in self._mounts.items()}

    def _create(self, resources: Resources) -> None:
        made: dict[str, bool] = {}
        try:
            for mountpoint in dict.fromkeys(self._mounts.values()):
                made[mountpoint] = make_directories(mountpoint, self.path)
            fault_point("cgroup.v1-directories-made")
            if not all(made.values()) and self.pids():
                raise CgroupInUse(self.path)  # one left by a crash is empty, and used again
            if "cpuset" in self._mounts:
                _inherit_cpuset(self._mounts["cpuset"], self.path)
            with_devices = {**resources, "devices": resources.get("devices") or []}
            self._apply(with_devices, is_new=all(made.values()))
            fault_point("cgroup.v1-limits-set")
            self._open_tasks()
        except BaseException:
            for mountpoint, is_new in made.items():
                if is_new:
                    _remove_quietly(mountpoint + self.path)
            raise

    def _open_tasks(self) -> None:
        # Opened here, by the parent: the child may be without rights over these files by the time it
        # joins, as in a user namespace, and has its own view of the mounts.
        for directory in dict.fromkeys(self.directories().values()):
            self._tasks.append(os.open(f"{directory}/tasks", os.O_WRONLY | os.O_CLOEXEC))

    def clone_fd(self, *, beside: int | None = None) -> int:
        del beside
        if not self._tasks:
            self._open_tasks()
        return -1

    def joining_fds(self) -> list[int]:
        if not self._tasks:
            self._open_tasks()
        return self._tasks

    def adopt(self, fds: list[int]) -> None:
        """Join by way of `fds`, which another process has opened."""
        self._tasks = fds

    def join(self) -> None:
        if not self._tasks:
            self._open_tasks()
        for fd in self._tasks:
            os.write(fd, b"0")

    def _apply(self, resources: Resources, *, is_new: bool = False) -> None:
        # What a new group has in force is known, and need not be read.
        if resources.get("unified"):
            raise InvalidArgument("unified cgroup settings need cgroup v2")
        if resources.get("memory"):
            self._apply_memory(resources["memory"], is_new=is_new)
        self._write_all(plan(resources, self._exists))
        if resources.get("devices") is not None:
            self._apply_devices(resources["devices"], is_new=is_new)

    def _write_all(self, settings: list[Setting]) -> None:
        has_quota = any(file == "cpu.cfs_quota_us" for _, file, _ in settings)
        late: list[Setting] = []
        for controller, file, value in settings:
            try:
                self._write(controller, file, value)
            except LimitRefused:
                if file != "cpu.cfs_period_us" or not has_quota:
                    raise
                late.append((controller, file, value))  # it does not fit the old quota; the new comes next
                continue
            if file == "cpu.shares" and not _LEAST_SHARES <= int(value) <= _MOST_SHARES:
                self._refuse_shares(int(value))
            elif file == "cpu.cfs_quota_us" and late:
                self._write(*late.pop())

    def _apply_memory(self, memory: dict[str, Any], *, is_new: bool) -> None:
        limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
        if limit == -1 and not swap and self._exists("memory", "memory.memsw.limit_in_bytes"):
            swap = -1  # no limit on memory means none on the sum
        writes = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)]
        if limit and swap and not is_new and self._grows_beyond_limit(swap):
            writes.reverse()  # first the sum, which may never be below the part
        if memory.get("checkBeforeUpdate") and 0 < limit < self._number("memory", "memory.usage_in_bytes"):
            raise LimitRefused(f"memory limit {limit} is below what is in use")
        for file, value in writes:
            if value:
                self._write_memory(file, value)
        for controller, file, text in plan_memory(memory):
            self._write(controller, file, text)

    def _grows_beyond_limit(self, swap: int) -> bool:
        return swap == -1 or self._number("memory", "memory.limit_in_bytes") < swap

    def _write_memory(self, file: str, value: int) -> None:
        try:
            self._write("memory", file, str(value))
        except LimitRefused as error:
            usage = self._number("memory", "memory.usage_in_bytes")
            peak = self._number("memory", "memory.max_usage_in_bytes")
            raise LimitRefused(
                f"unable to set {file} to {value} (current usage: {usage}, peak usage: {peak})"
            ) from error

    def _refuse_shares(self, wanted: int) -> None:
        # The kernel takes any number and silently uses the nearest it can.
        given = self._number("cpu", "cpu.shares")
        bound = "maximum" if wanted > given else "minimum"
        raise LimitRefused(f"the {bound} allowed cpu-shares is {given}, not {wanted}")

    def _apply_devices(self, rules: list[dict[str, Any]], *, is_new: bool) -> None:
        wanted = reduce(rules)
        if "devices" not in self._mounts:
            raise Unsupported("cgroup controller devices is not mounted: devices cannot be restricted")
        directory = self._mounts["devices"] + self.path
        present = ALL_DEVICES if is_new else parse_list(cgroupfs.read(f"{directory}/devices.list"))
        try:
            for file, lines in v1_writes(wanted, present):
                write_lines(directory, file, lines)
        except LimitRefused as error:
            if not needs_no_device_rules(error):
                raise

    def freeze(self) -> None:
        if not self._freeze(_FREEZE_DEADLINE_S):
            self.thaw()
            raise DeadlineExceeded(f"cgroup {self.path} does not freeze")

    def _freeze(self, patience_s: float) -> bool:
        state = self._file("freezer", "freezer.state")
        deadline = time.monotonic() + patience_s
        pause_s, tries = 0.0001, 0
        while True:
            cgroupfs.write(state, "FROZEN")
            if cgroupfs.read(state).strip() == "FROZEN":
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(pause_s)
            pause_s, tries = min(pause_s * 2, 0.005), tries + 1
            if tries % 20 == 0:  # a moment's thaw lets processes that fork out of the way
                cgroupfs.write(state, "THAWED")

    def thaw(self) -> None:
        cgroupfs.write(self._file("freezer", "freezer.state"), "THAWED")

    def is_frozen(self) -> bool:
        return cgroupfs.read(self._file("freezer", "freezer.state")).strip() == "FROZEN"

    def kill(self) -> None:
        if "freezer" not in self._mounts:
            self._signal_all(SIGKILL)
            return
        try:
            self._freeze(_KILL_FREEZE_S)  # a fork cannot outrun the signals, nor a pid be used again
            fault_point("cgroup.v1-frozen-to-kill")
            self._signal_all(SIGKILL)
        except OSError as error:
            if not is_gone(error):
                raise
        finally:
            self._thaw_all()

    def _thaw_all(self) -> None:
        # Also what the container itself has frozen beneath: a frozen process does not die.
        for directory in descendants(self._mounts["freezer"] + self.path):
            try:
                cgroupfs.write(f"{directory}/freezer.state", "THAWED")
            except OSError:
                continue

    def stats(self) -> dict[str, Any]:
        from wherry.runtime.cgroups.stats import v1_stats  # only who asks for numbers pays for it

        return v1_stats(self.directories())

    def oom_kill_count(self) -> int:
        try:
            text = cgroupfs.read(self._file("memory", "memory.oom_control"))
        except OSError:
            return 0
        counts = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        return int(counts.get("oom_kill", "0"))

    def close(self) -> None:
        while self._tasks:
            os.close(self._tasks.pop())

    def _process_directory(self) -> str:
        for controller in (*_PROCESS_CONTROLLERS, *self._mounts):
            if controller in self._mounts:
                return self._mounts[controller] + self.path
        raise Unsupported("no cgroup hierarchy is mounted")

    def _file(self, controller: str, file: str) -> str:
        if controller not in self._mounts:
            raise Unsupported(f"cgroup controller {controller} is not mounted, which {file} needs")
        return f"{self._mounts[controller]}{self.path}/{file}"

    def _write(self, controller: str, file: str, value: str) -> None:
        directory, _, name = self._file(controller, file).rpartition("/")
        write_limit(directory, name, value)

    def _exists(self, controller: str, file: str) -> bool:
        return controller in self._mounts and os.path.exists(self._file(controller, file))

    def _number(self, controller: str, file: str) -> int:
        return int(cgroupfs.read(self._file(controller, file)))


def plan(resources: Resources, exists: Exists) -> list[Setting]:
    """What to write for all of `resources` but memory sizes and devices, in order."""
    settings = plan_cpu(resources.get("cpu") or {})
    limit = (resources.get("pids") or {}).get("limit")
    if limit is not None:
        settings.append(("pids", "pids.max", pids_maximum(limit)))
    settings += plan_block_io(resources.get("blockIO") or {}, exists)
    for page in resources.get("hugepageLimits") or []:
        size = page_size_name(page["pageSize"])
        settings.append(("hugetlb", f"hugetlb.{size}.limit_in_bytes", str(page["limit"])))
        if exists("hugetlb", f"hugetlb.{size}.rsvd.limit_in_bytes"):
            settings.append(("hugetlb", f"hugetlb.{size}.rsvd.limit_in_bytes", str(page["limit"])))
    network = resources.get("network") or {}
    if network.get("classID") is not None:
        settings.append(("net_cls", "net_cls.classid", str(network["classID"])))
    for priority in network.get("priorities") or []:
        line = f"{priority['name']} {priority['priority']}"
        settings.append(("net_prio", "net_prio.ifpriomap", line))
    return settings + plan_rdma(resources.get("rdma") or {})


def plan_cpu(cpu: dict[str, Any]) -> list[Setting]:
    """What to write for processors: times, shares, and which."""
    # The period stands before what is measured by it, and the burst after the quota that bounds it.
    files = (
        ("cpu", "cpu.shares", cpu.get("shares") or None),
        ("cpu", "cpu.cfs_period_us", cpu.get("period") or None),
        ("cpu", "cpu.cfs_quota_us", cpu.get("quota") or None),
        ("cpu", "cpu.cfs_burst_us", cpu.get("burst")),
        ("cpu", "cpu.rt_period_us", cpu.get("realtimePeriod") or None),
        ("cpu", "cpu.rt_runtime_us", cpu.get("realtimeRuntime") or None),
        ("cpu", "cpu.idle", cpu.get("idle")),
        ("cpuset", "cpuset.cpus", cpu.get("cpus") or None),
        ("cpuset", "cpuset.mems", cpu.get("mems") or None),
    )
    return [(controller, file, str(value)) for controller, file, value in files if value is not None]


def plan_memory(memory: dict[str, Any]) -> list[Setting]:
    """What to write for memory besides its two sizes."""
    files = (
        ("memory.soft_limit_in_bytes", memory.get("reservation") or None),
        ("memory.kmem.tcp.limit_in_bytes", memory.get("kernelTCP") or None),
        ("memory.swappiness", memory.get("swappiness")),
        ("memory.oom_control", 1 if memory.get("disableOOMKiller") else None),
        ("memory.use_hierarchy", 1 if memory.get("useHierarchy") else None),
    )
    return [("memory", file, str(value)) for file, value in files if value is not None]


def plan_block_io(block_io: dict[str, Any], exists: Exists) -> list[Setting]:
    """What to write for block devices: weights of whichever scheduler is there, and ceilings."""
    if not block_io:
        return []
    bfq = "bfq." if exists("blkio", "blkio.bfq.weight") else ""
    settings = []
    if block_io.get("weight"):
        settings.append(("blkio", f"blkio.{bfq}weight", str(block_io["weight"])))
    if block_io.get("leafWeight"):
        settings.append(("blkio", "blkio.leaf_weight", str(block_io["leafWeight"])))
    for device in block_io.get("weightDevice") or []:
        numbers = f"{device['major']}:{device['minor']}"
        if device.get("weight"):
            settings.append(("blkio", f"blkio.{bfq}weight_device", f"{numbers} {device['weight']}"))
        if device.get("leafWeight"):
            settings.append(("blkio", "blkio.leaf_weight_device", f"{numbers} {device['leafWeight']}"))
    for key, file in (
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
    ):
        for device in block_io.get(key) or []:
            line = f"{device['major']}:{device['minor']} {device['rate']}"
            settings.append(("blkio", file, line))
    return settings


def plan_rdma(rdma: dict[str, Any]) -> list[Setting]:
    """What to write for RDMA devices; v1 and v2 have the same file."""
    settings = []
    for device, limits in rdma.items():
        words = [device]
        if limits.get("hcaHandles") is not None:
            words.append(f"hca_handle={limits['hcaHandles']}")
        if limits.get("hcaObjects") is not None:
            words.append(f"hca_object={limits['hcaObjects']}")
        settings.append(("rdma", "rdma.max", " ".join(words)))
    return settings


def _inherit_cpuset(mountpoint: str, path: str) -> None:
    # A new group of v1 has no processors and takes no process until it has.  The parents we make copy
    # theirs to their children, so that this is done once and not for each container.
    directory = mountpoint + path
    if not cgroupfs.read(f"{directory}/cpuset.mems").strip():  # the last to be written
        for file in ("cpuset.cpus", "cpuset.mems"):
            _inherited(mountpoint, directory, file)


def _inherited(mountpoint: str, directory: str, file: str) -> str:
    value = cgroupfs.read(f"{directory}/{file}").strip()
    if not value and directory != mountpoint:
        parent = os.path.dirname(directory)
        is_ours = parent != mountpoint and not cgroupfs.read(f"{parent}/{file}").strip()
        value = _inherited(mountpoint, parent, file)
        write_limit(directory, file, value)
        if is_ours:
            write_limit(parent, "cgroup.clone_children", "1")
    return value


def _remove_quietly(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        pass  # the failure under way says more


if TYPE_CHECKING:
    from collections.abc import Callable

    Exists = Callable[[str, str], bool]
