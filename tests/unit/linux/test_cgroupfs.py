"""Finding out how a host mounts its control groups."""

from wherry.linux.cgroupfs import find_layout, parse_proc_cgroup
from wherry.linux.mount import parse_mountinfo

V1 = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory,favordynmods
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
"""
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"


def test_v1_has_a_mountpoint_for_each_controller() -> None:
    layout = find_layout(parse_mountinfo(V1))

    assert layout.version == 1
    assert layout.unified is None
    assert layout.mounts == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
        "name=systemd": "/sys/fs/cgroup/systemd",
    }


def test_the_hybrid_form_is_v1() -> None:
    layout = find_layout(parse_mountinfo(V1 + UNIFIED))

    assert (layout.version, layout.unified) == (1, "/sys/fs/cgroup/unified")


def test_a_named_hierarchy_alone_leaves_it_v2() -> None:
    named = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"

    assert find_layout(parse_mountinfo(named + UNIFIED)).version == 2


def test_the_first_mount_of_a_hierarchy_counts() -> None:
    again = "50 1 0:38 / /mnt/again rw - cgroup2 cgroup2 rw\n"

    assert find_layout(parse_mountinfo(UNIFIED + again)).unified == "/sys/fs/cgroup/unified"


def test_a_process_has_a_path_for_each_controller() -> None:
    text = "4:cpu,cpuacct:/a:b\n1:name=systemd:/x\n0::/y\n"

    assert parse_proc_cgroup(text) == {"cpu": "/a:b", "cpuacct": "/a:b", "name=systemd": "/x", "": "/y"}
