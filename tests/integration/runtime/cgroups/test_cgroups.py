"""Control groups as the kernel has them, on whichever version the host mounts.

On v1 hosts the same tests run for v2 in the virtual machine.
"""

import errno
import os
import re
import signal
import stat
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.linux.forked import run_forked
from tests.vm.marks import anywhere

from wherry.diagnostics import faults
from wherry.errors import InvalidArgument, Unavailable, Unsupported
from wherry.linux import cgroupfs, namespaces, process
from wherry.runtime.cgroups import Cgroup, CgroupInUse, LimitRefused, v1

pytestmark = [
    *anywhere,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for control groups"),
]
VERSION = cgroupfs.layout().version
MIB = 1 << 20
DOCKER = {
    "devices": [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
        {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
    ],
    "memory": {"limit": 64 * MIB, "swap": 128 * MIB},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000},
    "pids": {"limit": 50},
}


@pytest.fixture
def make() -> Iterator[Callable[..., Cgroup]]:
    """Makes groups beneath one of the test, all removed at its end."""
    top = f"/wherry-test-{os.getpid()}"
    made: list[Cgroup] = []

    def create(resources: dict[str, Any] | None = None, name: str = "one") -> Cgroup:
        made.append(Cgroup.create(f"{top}/{name}", resources))
        return made[-1]

    yield create
    for cgroup in made:
        cgroup.kill()
        cgroup.close()
    Cgroup.open(top).delete()


@pytest.fixture
def sleeper(make: Callable[..., Cgroup]) -> Iterator[tuple[Cgroup, int, int]]:
    """A group with one process in it: (group, pid, pidfd)."""
    cgroup = make(DOCKER)
    pid, pidfd = start(cgroup)
    yield cgroup, pid, pidfd
    end(pidfd)


def start(cgroup: Cgroup, act: Callable[[], object] = signal.pause) -> tuple[int, int]:
    """A process that joins as the runtime does, and then acts."""
    pid, pidfd = process.clone3(0, cgroup_fd=cgroup.clone_fd())
    if pid == 0:
        try:
            if cgroup.clone_fd() < 0:
                cgroup.join()
            act()
        finally:
            os._exit(0)
    wait(lambda: pid in cgroup.pids())
    return pid, pidfd


def end(pidfd: int) -> None:
    try:
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
        process.wait_pidfd(pidfd)
    except (ProcessLookupError, ChildProcessError):
        pass
    os.close(pidfd)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def inside(cgroup: Cgroup, act: Callable[[], object]) -> str:
    """What `act` returns in a process that has joined the group."""

    def joined() -> object:
        if cgroup.clone_fd() < 0:
            cgroup.join()
        return act()

    return run_forked(joined, cgroup_fd=cgroup.clone_fd())


def limit(cgroup: Cgroup, v1: str, v2: str) -> str:
    """The text of a limit's file; the controller of v1 is the first word of the name."""
    if VERSION == 2:
        return cgroupfs.read(f"{cgroup.directories()['']}/{v2}").strip()
    return cgroupfs.read(f"{cgroup.directories()[v1.partition('.')[0]]}/{v1}").strip()


def host_disk() -> tuple[int, int]:
    """The device of some real disk of this host, which the test can open and a container must not."""
    for name in sorted(os.listdir("/sys/class/block")):
        major, _, minor = Path(f"/sys/class/block/{name}/dev").read_text().strip().partition(":")
        try:
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
        except OSError:
            continue
        return int(major), int(minor)
    pytest.skip("needs a block device that can be opened")


# Devices


def try_device(directory: Path, kind: int, major: int, minor: int, flags: int = os.O_RDONLY) -> str:
    """The errno name of opening a node that was just made, or `opened`."""
    path = directory / f"node-{os.getpid()}"
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.unlink(path)
    return "opened"


@pytest.fixture
def node_dir(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("resources", [None, {}, {"devices": None}, {"devices": []}, DOCKER], ids=str)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR], ids=["read", "write", "both"])
def test_the_hosts_disk_can_be_named_but_not_opened(
    make: Callable[..., Cgroup], node_dir: Path, resources: dict[str, Any] | None, flags: int
) -> None:
    disk = host_disk()

    answer = inside(make(resources), lambda: try_device(node_dir, stat.S_IFBLK, *disk, flags))

    assert answer == "EPERM"


@pytest.mark.parametrize(("major", "minor"), [(1, 1), (1, 4), (1, 11), (10, 229), (5, 1)], ids=str)
def test_memory_ports_messages_fuse_and_console_are_closed(
    make: Callable[..., Cgroup], node_dir: Path, major: int, minor: int
) -> None:
    assert inside(make(DOCKER), lambda: try_device(node_dir, stat.S_IFCHR, major, minor)) == "EPERM"


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom", "ptmx"])
def test_harmless_devices_are_open(make: Callable[..., Cgroup], name: str) -> None:
    assert inside(make(), lambda: os.close(os.open(f"/dev/{name}", os.O_RDWR))) == "None"


def test_a_granted_disk_can_be_read_and_not_written(make: Callable[..., Cgroup], node_dir: Path) -> None:
    major, minor = host_disk()
    grant = {"allow": True, "type": "b", "major": major, "minor": minor, "access": "rm"}
    cgroup = make({"devices": [*DOCKER["devices"], grant]})

    assert inside(cgroup, lambda: try_device(node_dir, stat.S_IFBLK, major, minor)) == "opened"
    assert inside(cgroup, lambda: try_device(node_dir, stat.S_IFBLK, major, minor, os.O_RDWR)) == "EPERM"


def test_privileged_containers_open_everything(make: Callable[..., Cgroup], node_dir: Path) -> None:
    disk = host_disk()
    cgroup = make({"devices": [{"allow": True, "access": "rwm"}]})

    assert inside(cgroup, lambda: try_device(node_dir, stat.S_IFBLK, *disk)) == "opened"


def test_device_rules_change_while_a_container_runs(sleeper: tuple[Cgroup, int, int], node_dir: Path) -> None:
    cgroup, disk = sleeper[0], host_disk()
    grant = {"allow": True, "type": "b", "major": disk[0], "minor": disk[1], "access": "rwm"}

    cgroup.apply({"devices": [*DOCKER["devices"], grant]})
    assert inside(cgroup, lambda: try_device(node_dir, stat.S_IFBLK, *disk)) == "opened"

    cgroup.apply({"devices": DOCKER["devices"]})
    assert inside(cgroup, lambda: try_device(node_dir, stat.S_IFBLK, *disk)) == "EPERM"


def test_other_changes_leave_the_device_rules_alone(sleeper: tuple[Cgroup, int, int], node_dir: Path) -> None:
    disk = host_disk()

    sleeper[0].apply({"pids": {"limit": 60}})

    assert inside(sleeper[0], lambda: try_device(node_dir, stat.S_IFBLK, *disk)) == "EPERM"


def test_a_group_made_inside_is_no_way_out(make: Callable[..., Cgroup], node_dir: Path) -> None:
    cgroup, disk = make(DOCKER), host_disk()
    inner = make({"devices": DOCKER["devices"]}, name="one/inner")

    answer = inside(inner, lambda: try_device(node_dir, stat.S_IFBLK, *disk))

    assert answer == "EPERM"
    assert inner.path.startswith(cgroup.path)


def test_within_a_user_namespace_a_group_goes_without_device_rules(make: Callable[..., Cgroup]) -> None:
    make(name="outer")
    path = f"/wherry-test-{os.getpid()}/outer/inner"

    def create() -> object:
        namespaces.unshare(namespaces.CLONE_NEWUSER)
        cgroupfs.write("/proc/self/uid_map", "0 0 1")
        assert not namespaces.in_initial_user_namespace()
        cgroup = Cgroup.create(path, {"pids": {"limit": 7}})
        return limit(cgroup, "pids.max", "pids.max")

    assert namespaces.in_initial_user_namespace()
    assert run_forked(create) == "7"


# Limits


def test_limits_are_in_force_before_the_first_process(make: Callable[..., Cgroup]) -> None:
    cgroup = make(DOCKER)

    assert cgroup.pids() == []
    assert limit(cgroup, "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    assert limit(cgroup, "pids.max", "pids.max") == "50"
    if VERSION == 2:
        assert limit(cgroup, "", "memory.swap.max") == str(64 * MIB)
        assert limit(cgroup, "", "cpu.max") == "50000 100000"
        assert limit(cgroup, "", "cpu.weight") == "59"
    else:
        assert limit(cgroup, "memory.memsw.limit_in_bytes", "") == str(128 * MIB)
        assert limit(cgroup, "cpu.cfs_quota_us", "") == "50000"
        assert limit(cgroup, "cpu.shares", "") == "512"


def test_a_process_over_its_memory_is_killed_and_counted(make: Callable[..., Cgroup]) -> None:
    cgroup = make({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})

    _, pidfd = start(cgroup, lambda: bytearray(64 * MIB))
    waited = process.wait_pidfd(pidfd)
    os.close(pidfd)

    assert waited is not None
    assert os.waitstatus_to_exitcode(waited[1]) == -signal.SIGKILL
    assert cgroup.oom_kill_count() == 1


def test_a_fork_over_the_limit_fails(make: Callable[..., Cgroup]) -> None:
    def fork_three() -> object:
        for _ in range(3):
            try:
                pid = os.fork()
            except OSError as error:
                return errno.errorcode[error.errno]
            if pid == 0:
                time.sleep(5)
                os._exit(0)
        return "forked"

    assert inside(make({"pids": {"limit": 2}}), fork_three) == "EAGAIN"


@pytest.mark.parametrize(
    ("first", "then"), [((64, 128), (256, 512)), ((256, 512), (64, 128)), ((64, 64), (32, 32))]
)
def test_memory_grows_and_shrinks(
    make: Callable[..., Cgroup], first: tuple[int, int], then: tuple[int, int]
) -> None:
    cgroup = make({"memory": {"limit": first[0] * MIB, "swap": first[1] * MIB}})

    cgroup.apply({"memory": {"limit": then[0] * MIB, "swap": then[1] * MIB}})

    assert limit(cgroup, "memory.limit_in_bytes", "memory.max") == str(then[0] * MIB)


def test_no_limit_can_be_put_back(make: Callable[..., Cgroup]) -> None:
    cgroup = make(DOCKER)

    cgroup.apply({"memory": {"limit": -1}, "pids": {"limit": -1}})

    assert limit(cgroup, "memory.limit_in_bytes", "memory.max") in ("max", "9223372036854771712")
    assert limit(cgroup, "pids.max", "pids.max") == "max"


def test_one_half_of_a_quota_changes_alone(make: Callable[..., Cgroup]) -> None:
    cgroup = make(DOCKER)

    cgroup.apply({"cpu": {"quota": 20000}})
    cgroup.apply({"cpu": {"period": 50000}})

    if VERSION == 2:
        assert limit(cgroup, "", "cpu.max") == "20000 50000"
    else:
        assert limit(cgroup, "cpu.cfs_quota_us", "") == "20000"
        assert limit(cgroup, "cpu.cfs_period_us", "") == "50000"


@pytest.mark.parametrize(
    "resources",
    [
        {"cpu": {"cpus": "0-4294967295"}},
        {"cpu": {"cpus": "x"}},
        {"cpu": {"quota": 1, "period": 100000}},
        {"pids": {"limit": 1 << 70}},
        {"memory": {"limit": "much"}},
        {"devices": [{"allow": True, "type": "x"}]},
    ],
    ids=str,
)
def test_a_refused_limit_leaves_nothing_behind(
    make: Callable[..., Cgroup], resources: dict[str, Any]
) -> None:
    started = time.monotonic()
    with pytest.raises((InvalidArgument, Unsupported)):
        make(resources, name="refused")

    assert time.monotonic() - started < 1
    assert not Cgroup.open(f"/wherry-test-{os.getpid()}/refused").exists()


def test_a_refused_limit_names_its_file_and_value(make: Callable[..., Cgroup]) -> None:
    with pytest.raises(LimitRefused, match=r"set cpuset.cpus to 'x': Invalid argument"):
        make({"cpu": {"cpus": "x"}})


@pytest.mark.skipif(VERSION != 2, reason="needs cgroup v2: runs in the virtual machine")
def test_the_unified_map_reaches_its_files(make: Callable[..., Cgroup]) -> None:
    cgroup = make({"unified": {"memory.high": str(32 * MIB), "pids.max": "7"}, "pids": {"limit": 50}})

    assert limit(cgroup, "", "memory.high") == str(32 * MIB)
    assert limit(cgroup, "", "pids.max") == "7"


@pytest.mark.skipif(VERSION != 1, reason="needs cgroup v1")
def test_the_unified_map_needs_v2(make: Callable[..., Cgroup]) -> None:
    with pytest.raises(InvalidArgument, match="need cgroup v2"):
        make({"unified": {"memory.high": "1"}})


# Processes


def test_a_process_is_in_every_hierarchy(sleeper: tuple[Cgroup, int, int]) -> None:
    cgroup, pid, _ = sleeper

    paths = cgroupfs.parse_proc_cgroup(cgroupfs.read(f"/proc/{pid}/cgroup"))

    expected = [""] if VERSION == 2 else list(cgroupfs.layout().mounts)
    assert {name: paths[name] for name in expected} == dict.fromkeys(expected, cgroup.path)
    assert cgroup.pids() == [pid]


def test_joining_needs_no_paths_and_no_rights_on_v1_nor_a_path_on_v2(make: Callable[..., Cgroup]) -> None:
    cgroup = make(DOCKER)

    def join_without_rights() -> object:
        os.chroot("/proc/self/fdinfo")
        os.setgid(65534)
        os.setuid(65534)
        if cgroup.clone_fd() < 0:
            cgroup.join()
        return "joined"

    assert run_forked(join_without_rights, cgroup_fd=cgroup.clone_fd()) == "joined"


@pytest.mark.skipif(VERSION != 2, reason="needs cgroup v2: runs in the virtual machine")
def test_a_later_process_is_born_beside_those_that_moved_down(make: Callable[..., Cgroup]) -> None:
    cgroup = make(DOCKER)
    top = cgroup.directories()[""]

    def move_down() -> None:
        os.mkdir(f"{top}/init.scope")
        cgroupfs.write(f"{top}/init.scope/cgroup.procs", "0")
        cgroupfs.write(f"{top}/cgroup.subtree_control", "+pids")  # now the top takes no process any more
        signal.pause()

    pid, pidfd = start(cgroup, move_down)
    wait(lambda: "pids" in cgroupfs.read(f"{top}/cgroup.subtree_control"))

    with pytest.raises(OSError, match="busy"):
        run_forked(os.getpid, cgroup_fd=cgroup.clone_fd())
    for _ in range(2):
        path = run_forked(lambda: cgroupfs.read("/proc/self/cgroup"), cgroup_fd=cgroup.clone_fd(beside=pid))
        assert path == f"0::{cgroup.path}/init.scope\n"
    end(pidfd)


@pytest.mark.skipif(VERSION != 1, reason="needs cgroup v1")
@pytest.mark.parametrize("torn", ["cpuset.cpus", "cpuset.mems", None])
def test_processors_come_down_from_the_root_even_after_a_crash(
    make: Callable[..., Cgroup], torn: str | None
) -> None:
    mountpoint = cgroupfs.layout().mounts["cpuset"]
    parent = f"{mountpoint}/wherry-test-{os.getpid()}"
    os.mkdir(parent)
    if torn:  # only this one had been written
        cgroupfs.write(f"{parent}/{torn}", cgroupfs.read(f"{mountpoint}/{torn}").strip())

    for name in ("first", "second"):
        assert inside(make(DOCKER, name=name), os.getpid)
        for file in ("cpuset.cpus", "cpuset.mems"):
            assert cgroupfs.read(f"{parent}/{name}/{file}") == cgroupfs.read(f"{mountpoint}/{file}")


def test_a_group_in_use_is_not_taken_over(sleeper: tuple[Cgroup, int, int]) -> None:
    with pytest.raises(CgroupInUse, match="holds processes"):
        Cgroup.create(sleeper[0].path, DOCKER)

    assert sleeper[0].pids() == [sleeper[1]]


def test_a_group_left_by_a_crash_is_used_again_with_new_rules(
    make: Callable[..., Cgroup], node_dir: Path
) -> None:
    make({"devices": [{"allow": True, "access": "rwm"}]})
    disk = host_disk()

    again = make(DOCKER)

    assert inside(again, lambda: try_device(node_dir, stat.S_IFBLK, *disk)) == "EPERM"


def test_a_frozen_process_stands_still(sleeper: tuple[Cgroup, int, int]) -> None:
    cgroup = sleeper[0]

    cgroup.freeze()
    assert cgroup.is_frozen()
    cgroup.thaw()

    wait(lambda: not cgroup.is_frozen())


def test_killing_reaches_frozen_processes_and_groups_beneath(make: Callable[..., Cgroup]) -> None:
    cgroup = make()
    inner = make(name="one/inner/deep")
    pidfds = [start(cgroup)[1] if VERSION == 1 else start(inner)[1], *(start(inner)[1] for _ in range(3))]
    inner.freeze()

    cgroup.kill()

    for pidfd in pidfds:
        waited = process.wait_pidfd(pidfd)
        assert waited is not None
        assert os.waitstatus_to_exitcode(waited[1]) == -signal.SIGKILL
        os.close(pidfd)


def test_killing_outruns_a_fork_bomb(make: Callable[..., Cgroup]) -> None:
    cgroup = make({"pids": {"limit": 40}})

    def bomb() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.0005)

    _, pidfd = start(cgroup, bomb)
    wait(lambda: len(cgroup.pids()) > 20)

    cgroup.kill()

    assert process.wait_pidfd(pidfd) is not None
    os.close(pidfd)
    wait(lambda: cgroup.pids() == [])


def test_killing_what_is_gone_is_no_error(make: Callable[..., Cgroup]) -> None:
    cgroup = make()
    cgroup.delete()

    cgroup.kill()

    assert cgroup.pids() == []
    assert cgroup.oom_kill_count() == 0


# Numbers and the end


def test_the_numbers_have_the_form_of_runc(sleeper: tuple[Cgroup, int, int]) -> None:
    stats = sleeper[0].stats()

    assert stats["pids"] == {"current": 1, "limit": 50}
    assert 0 < stats["memory"]["usage"]["usage"] <= stats["memory"]["usage"]["limit"] == 64 * MIB
    assert stats["memory"]["swap"]["limit"] == 128 * MIB
    assert stats["cpu"]["usage"]["total"] > 0
    assert stats["cpuset"]["cpus"]
    assert set(stats["cpu"]["throttling"]) == {"periods", "throttledPeriods", "throttledTime"}
    assert isinstance(stats["blkio"]["ioServiceBytesRecursive"], list)


def test_deleting_removes_what_the_container_made_beneath(make: Callable[..., Cgroup]) -> None:
    cgroup = make()
    make(name="one/a/b")
    make(name="one/c")

    cgroup.delete()

    assert not cgroup.exists()


def test_a_group_in_use_cannot_be_deleted(
    sleeper: tuple[Cgroup, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.runtime.cgroups._DELETE_DEADLINE_S", 0.05)

    with pytest.raises(Unavailable, match="still in use"):
        sleeper[0].delete()


def test_deleting_twice_is_no_error(make: Callable[..., Cgroup]) -> None:
    cgroup = make()

    cgroup.delete()
    cgroup.delete()

    assert not cgroup.exists()


def test_deleting_waits_for_the_last_process_to_be_gone(sleeper: tuple[Cgroup, int, int]) -> None:
    cgroup, _, pidfd = sleeper
    cgroup.kill()

    cgroup.delete()  # the process may be dying still

    assert not cgroup.exists()
    assert process.wait_pidfd(pidfd) is not None


def fault_points() -> list[str]:
    """The named points of this package that the host's version passes."""
    sources = Path(v1.__file__).parent.glob("*.py")
    points = {
        point for source in sources for point in re.findall(r'fault_point\("(.+?)"\)', source.read_text())
    }
    return sorted(point for point in points if not re.match(rf"cgroup\.v[^{VERSION}]", point))


@pytest.mark.parametrize("point", fault_points())
def test_a_kill_at_any_step_can_be_made_good(make: Callable[..., Cgroup], point: str) -> None:
    make(name="sibling")
    path = f"/wherry-test-{os.getpid()}/torn"

    pid, pidfd = process.clone3(0)
    if pid == 0:
        faults.arm(point)
        cgroup = Cgroup.create(path, DOCKER)
        start(cgroup)
        cgroup.kill()
        wait(lambda: os.waitpid(-1, 0) != (0, 0) and not cgroup.pids())
        cgroup.delete()
        os._exit(1)
    assert process.wait_pidfd(pidfd) == (pid, signal.SIGKILL)
    os.close(pidfd)

    left = Cgroup.open(path)
    left.kill()
    wait(lambda: not left.pids())
    assert Cgroup.create(path, DOCKER).exists()
    left.delete()
    assert not left.exists()


def test_closing_leaves_no_descriptor(make: Callable[..., Cgroup]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    cgroup = make(DOCKER)
    inside(cgroup, os.getpid)

    cgroup.close()

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(VERSION != 1, reason="needs cgroup v1: the figure is for its nine hierarchies")
def test_making_a_group_is_quick(make: Callable[..., Cgroup]) -> None:
    times = []
    for _ in range(30):
        started = time.perf_counter()
        cgroup = make(DOCKER)
        times.append(time.perf_counter() - started)
        cgroup.close()
        cgroup.delete()

    assert min(times) < 0.0015
    assert statistics.median(times) < 0.005
