"""Control groups, version 2: one directory, its controllers enabled from the root down.

The device rules are an eBPF program.  Without it a container could read the host's disk through a node
it makes itself, so a host that cannot load one starts no container.
"""

from __future__ import annotations

import errno
import os
import time

from wherry.diagnostics.faults import fault_point
from wherry.errors import DeadlineExceeded, InvalidArgument, PermissionDenied, Unsupported
from wherry.linux import bpf, cgroupfs
from wherry.runtime.cgroups import (
    SIGKILL,
    Cgroup,
    CgroupInUse,
    LimitRefused,
    is_gone,
    make_directories,
    remove_tree,
    write_limit,
)
from wherry.runtime.cgroups.conversions import (
    cpu_weight,
    io_weight,
    maximum,
    page_size_name,
    pids_maximum,
    swap_max,
)
from wherry.runtime.cgroups.devices import assemble, needs_no_device_rules, reduce
from wherry.runtime.cgroups.v1 import plan_rdma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.runtime.cgroups import Resources

    Setting = tuple[str, str]  # file, value

_FREEZE_DEADLINE_S = 2.0
_DEFAULT_PERIOD_US = 100000


class NoControllers(Unsupported):
    """A limit without its file, since a group further up can pass on no controllers."""

    def __init__(self, error: Unsupported, occupied: str) -> None:
        super().__init__(f"{error}: {occupied} holds processes and passes on no controllers")


class V2Cgroup(Cgroup):
    """A container's directory in the unified hierarchy."""

    __slots__ = ("_descriptors", "_root", "directory")

    version = 2

    def __init__(self, path: str) -> None:
        super().__init__(path)
        root = cgroupfs.layout().unified
        if root is None:
            raise Unsupported("cgroup v2 is not mounted")
        self._root = root
        self.directory = root + self.path
        self._descriptors: dict[str, int] = {}

    def directories(self) -> dict[str, str]:
        return {"": self.directory}

    def _create(self, resources: Resources) -> None:
        is_new = make_directories(self._root, self.path)
        try:
            fault_point("cgroup.v2-directory-made")
            if not is_new and self.pids():
                raise CgroupInUse(self.path)  # one left by a crash is empty, and used again
            occupied = self._enable_controllers()
            try:
                self._apply({**resources, "devices": resources.get("devices") or []})
            except Unsupported as error:
                if not occupied:
                    raise
                raise NoControllers(error, occupied) from error
            fault_point("cgroup.v2-limits-set")
            self.clone_fd()
        except BaseException:
            self.close()
            if is_new:
                remove_tree(self.directory, time.monotonic())
            raise

    def _enable_controllers(self) -> str:
        # Top down: a group can pass on only what it was given.  One that holds processes can pass on
        # none; it is returned, for the limits that then have no file.
        directory = self._root
        for part in self.path.split("/")[1:]:
            available = cgroupfs.read(f"{directory}/cgroup.controllers").split()
            control = f"{directory}/cgroup.subtree_control"
            missing = set(available) - set(cgroupfs.read(control).split())
            if missing and not _enable(control, sorted(missing)):
                return directory
            directory = f"{directory}/{part}"
        return ""

    def clone_fd(self, *, beside: int | None = None) -> int:
        if beside is not None:
            # Opened anew each time: the container may have removed and made its group again.
            self._close("beside")
            return self._open("beside", self._directory_of(beside))
        return self._descriptors.get("top") or self._open("top", self.directory)

    def _open(self, name: str, directory: str) -> int:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        fd = self._descriptors[name] = os.open(directory, flags)
        return fd

    def _close(self, name: str) -> None:
        if name in self._descriptors:
            os.close(self._descriptors.pop(name))

    def _directory_of(self, pid: int) -> str:
        path = cgroupfs.parse_proc_cgroup(cgroupfs.read(f"/proc/{pid}/cgroup")).get("", "")
        return self._root + path if path.startswith(self.path + "/") else self.directory

    def join(self) -> None:
        cgroupfs.write(f"{self.directory}/cgroup.procs", "0")

    def _apply(self, resources: Resources) -> None:
        memory = resources.get("memory") or {}
        if memory.get("checkBeforeUpdate"):
            self._check_usage(memory.get("limit") or 0)
        for file, value in plan(resources, self._exists):
            write_limit(self.directory, file, value)
        cpu = resources.get("cpu") or {}
        if cpu.get("quota") or cpu.get("period"):
            self._apply_quota(cpu.get("quota") or 0, cpu.get("period") or 0)
        if cpu.get("burst") is not None:
            write_limit(self.directory, "cpu.max.burst", str(cpu["burst"]))
        if resources.get("devices") is not None:
            self._apply_devices(resources["devices"])
        for file, value in plan_unified(resources.get("unified") or {}):
            write_limit(self.directory, file, value)  # last: it is the more exact word

    def _check_usage(self, limit: int) -> None:
        usage = int(cgroupfs.read(f"{self.directory}/memory.current"))
        if 0 < limit < usage:
            raise LimitRefused(f"memory limit {limit} is below what is in use ({usage})")

    def _apply_quota(self, quota: int, period: int) -> None:
        if not (quota and period) and self._exists("cpu.max"):  # what is not given stays
            present = cgroupfs.read(f"{self.directory}/cpu.max").split()
            quota = quota or (-1 if present[0] == "max" else int(present[0]))
            period = period or int(present[1])
        write_limit(self.directory, "cpu.max", f"{maximum(quota)} {period or _DEFAULT_PERIOD_US}")

    def _apply_devices(self, rules: list[dict[str, Any]]) -> None:
        devices = reduce(rules)
        cgroup = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened = [cgroup]
        try:
            program = bpf.load_device_program(assemble(devices))
            opened.append(program)
            old = bpf.attached_devices(cgroup)
            opened += old
            # The new one takes the place of a single old one in one step; of several, the old go only
            # after the new is there: at no moment is everything allowed.
            bpf.attach_device(cgroup, program, replace_fd=old[0] if len(old) == 1 else None)
            for each in old if len(old) > 1 else []:
                bpf.detach_device(cgroup, each)
        except OSError as error:
            if needs_no_device_rules(error):
                return
            kind = PermissionDenied if error.errno in (errno.EPERM, errno.EACCES) else Unsupported
            raise kind(f"restrict the devices of cgroup {self.path}: {error.strerror}") from error
        finally:
            for fd in opened:
                os.close(fd)

    def freeze(self) -> None:
        cgroupfs.write(f"{self.directory}/cgroup.freeze", "1")
        deadline = time.monotonic() + _FREEZE_DEADLINE_S
        pause_s = 0.0001
        while not self.is_frozen():
            if time.monotonic() > deadline:
                self.thaw()
                raise DeadlineExceeded(f"cgroup {self.path} does not freeze")
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.005)

    def thaw(self) -> None:
        cgroupfs.write(f"{self.directory}/cgroup.freeze", "0")

    def is_frozen(self) -> bool:
        return "frozen 1" in cgroupfs.read(f"{self.directory}/cgroup.events").splitlines()

    def kill(self) -> None:
        try:
            cgroupfs.write(f"{self.directory}/cgroup.kill", "1")  # the whole tree, frozen or not
        except OSError as error:
            if os.path.isdir(self.directory) and is_gone(error):
                self._signal_all(SIGKILL)  # cgroup.kill came with Linux 5.14
            elif not is_gone(error):
                raise

    def stats(self) -> dict[str, Any]:
        from wherry.runtime.cgroups.stats import v2_stats  # only who asks for numbers pays for it

        return v2_stats(self.directory)

    def oom_kill_count(self) -> int:
        try:
            text = cgroupfs.read(f"{self.directory}/memory.events")
        except OSError:
            return 0
        return int(dict(line.split() for line in text.splitlines()).get("oom_kill", "0"))

    def close(self) -> None:
        for name in list(self._descriptors):
            self._close(name)

    def _process_directory(self) -> str:
        return self.directory

    def _exists(self, file: str) -> bool:
        return os.path.exists(f"{self.directory}/{file}")


def plan(resources: Resources, exists: Exists) -> list[Setting]:
    """What to write for all of `resources` but quota, devices and the unified map, in order."""
    settings = plan_memory(resources.get("memory") or {})
    cpu = resources.get("cpu") or {}
    files = (
        ("cpu.idle", cpu.get("idle")),
        ("cpu.weight", None if cpu.get("idle") else cpu_weight(cpu.get("shares") or 0) or None),
        ("cpuset.cpus", cpu.get("cpus") or None),
        ("cpuset.mems", cpu.get("mems") or None),
    )
    settings += [(file, str(value)) for file, value in files if value is not None]
    limit = (resources.get("pids") or {}).get("limit")
    if limit is not None:
        settings.append(("pids.max", pids_maximum(limit)))
    settings += plan_io(resources.get("blockIO") or {}, exists)
    for page in resources.get("hugepageLimits") or []:
        size = page_size_name(page["pageSize"])
        settings.append((f"hugetlb.{size}.max", str(page["limit"])))
        if exists(f"hugetlb.{size}.rsvd.max"):
            settings.append((f"hugetlb.{size}.rsvd.max", str(page["limit"])))
    return settings + [(file, value) for _, file, value in plan_rdma(resources.get("rdma") or {})]


def plan_memory(memory: dict[str, Any]) -> list[Setting]:
    """What to write for memory.

    Raises:
        InvalidArgument: a total of memory and swap that makes no sense.
    """
    limit, reservation = memory.get("limit") or 0, memory.get("reservation") or 0
    swap = swap_max(limit, memory.get("swap") or 0)
    settings = []
    if swap is not None:
        settings.append(("memory.swap.max", swap))
    if limit:
        settings.append(("memory.max", maximum(limit)))
    if reservation:
        settings.append(("memory.low", maximum(reservation)))
    return settings


def plan_io(block_io: dict[str, Any], exists: Exists) -> list[Setting]:
    """What to write for block devices."""
    settings = []
    has_bfq = exists("io.bfq.weight")
    if block_io.get("weight"):
        weight = block_io["weight"]
        settings.append(
            ("io.bfq.weight", str(weight)) if has_bfq else ("io.weight", f"default {io_weight(weight)}")
        )
    for device in block_io.get("weightDevice") or []:
        if device.get("weight"):
            line = f"{device['major']}:{device['minor']} {device['weight']}"
            settings.append(("io.bfq.weight", line))
    for key, word in (
        ("throttleReadBpsDevice", "rbps"),
        ("throttleWriteBpsDevice", "wbps"),
        ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"),
    ):
        for device in block_io.get(key) or []:
            rate = device["rate"] or "max"
            settings.append(("io.max", f"{device['major']}:{device['minor']} {word}={rate}"))
    return settings


def plan_unified(unified: dict[str, str]) -> list[Setting]:
    """The files that a specification names itself; a value of several lines is written line by line.

    Raises:
        InvalidArgument: a name that is not of a file in this directory, or belongs to the group's own
            management.
    """
    settings = []
    for file, value in unified.items():
        if "/" in file or "." not in file or file.startswith((".", "cgroup.")) or "\0" in file:
            raise InvalidArgument(f"unified cgroup settings: invalid file name {file!r}")
        settings += [(file, line) for line in str(value).splitlines() or [""]]
    return settings


def _enable(control: str, controllers: list[str]) -> bool:
    """Whether the group may pass on controllers: not where it holds processes itself."""
    try:
        cgroupfs.write(control, " ".join(f"+{name}" for name in controllers))
    except OSError as error:
        if error.errno == errno.EBUSY:
            # One by one, those for threads would be taken, and groups beneath such a one, where
            # processes are counted as a whole no longer, cannot be entered.
            return False
        for name in controllers:  # one that cannot be (cpu beside realtime processes) must not stop the rest
            try:
                cgroupfs.write(control, f"+{name}")
            except OSError:
                continue
    return True


if TYPE_CHECKING:
    from collections.abc import Callable

    Exists = Callable[[str], bool]
