"""Limits: what is written for a specification's resources, and the conversions from v1's numbers."""

from typing import Any

import pytest

from wherry.errors import InvalidArgument
from wherry.runtime.cgroups import conversions, normalise_path, resources, v1, v2


def nothing(*_: str) -> bool:
    return False


def everything(*_: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (0, 0),
        (1, 1),
        (2, 1),
        (3, 2),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262143, 10000),
        (262144, 10000),
        (10**9, 10000),
    ],
)
def test_shares_become_a_weight_by_the_curve_of_runc(shares: int, weight: int) -> None:
    assert conversions.cpu_weight(shares) == weight


@pytest.mark.parametrize(("blkio", "weight"), [(0, 0), (10, 1), (300, 2930), (500, 4950), (1000, 10000)])
def test_block_weights_are_stretched(blkio: int, weight: int) -> None:
    assert conversions.io_weight(blkio) == weight


@pytest.mark.parametrize(
    ("limit", "swap", "expected"),
    [
        (0, 0, None),
        (100, 0, None),
        (100, 100, "0"),
        (100, 250, "150"),
        (100, -1, "max"),
        (-1, 0, "max"),
        (0, -1, "max"),
    ],
)
def test_swap_is_counted_apart(limit: int, swap: int, expected: str | None) -> None:
    assert conversions.swap_max(limit, swap) == expected


@pytest.mark.parametrize(("limit", "swap"), [(0, 100), (-1, 100), (200, 100)])
def test_swap_that_makes_no_sense_is_refused(limit: int, swap: int) -> None:
    with pytest.raises(InvalidArgument, match="swap"):
        conversions.swap_max(limit, swap)


@pytest.mark.parametrize(("limit", "text"), [(-1, "max"), (-5, "max"), (0, "1"), (7, "7")])
def test_no_processes_at_all_means_one(limit: int, text: str) -> None:
    assert conversions.pids_maximum(limit) == text


DOCUMENT: dict[str, Any] = {
    "memory": {"limit": 100, "swap": 300, "reservation": 50, "swappiness": 0, "disableOOMKiller": True},
    "cpu": {"shares": 512, "quota": 5, "period": 10, "burst": 0, "cpus": "0-1", "mems": "", "idle": None},
    "pids": {"limit": -1},
    "blockIO": {
        "weight": 300,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 20}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 5}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
    "network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 3}]},
    "rdma": {"mlx5_1": {"hcaHandles": 3}},
}


def test_v1_writes_each_limit_to_its_file() -> None:
    assert v1.plan(DOCUMENT, nothing) == [
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_period_us", "10"),
        ("cpu", "cpu.cfs_quota_us", "5"),
        ("cpu", "cpu.cfs_burst_us", "0"),
        ("cpuset", "cpuset.cpus", "0-1"),
        ("pids", "pids.max", "max"),
        ("blkio", "blkio.weight", "300"),
        ("blkio", "blkio.weight_device", "8:0 20"),
        ("blkio", "blkio.throttle.read_bps_device", "8:0 1024"),
        ("blkio", "blkio.throttle.write_iops_device", "8:16 5"),
        ("hugetlb", "hugetlb.2MB.limit_in_bytes", "4"),
        ("net_cls", "net_cls.classid", "7"),
        ("net_prio", "net_prio.ifpriomap", "eth0 3"),
        ("rdma", "rdma.max", "mlx5_1 hca_handle=3"),
    ]
    assert v1.plan_memory(DOCUMENT["memory"]) == [
        ("memory", "memory.soft_limit_in_bytes", "50"),
        ("memory", "memory.swappiness", "0"),
        ("memory", "memory.oom_control", "1"),
    ]


def test_v1_uses_bfq_where_it_is() -> None:
    files = [file for _, file, _ in v1.plan({"blockIO": DOCUMENT["blockIO"]}, everything)]

    assert files[:2] == ["blkio.bfq.weight", "blkio.bfq.weight_device"]


def test_v2_writes_converted_limits() -> None:
    assert v2.plan(DOCUMENT, nothing) == [
        ("memory.swap.max", "200"),
        ("memory.max", "100"),
        ("memory.low", "50"),
        ("cpu.weight", "59"),
        ("cpuset.cpus", "0-1"),
        ("pids.max", "max"),
        ("io.weight", "default 2930"),
        ("io.bfq.weight", "8:0 20"),
        ("io.max", "8:0 rbps=1024"),
        ("io.max", "8:16 wiops=5"),
        ("hugetlb.2MB.max", "4"),
        ("rdma.max", "mlx5_1 hca_handle=3"),
    ]


def test_an_idle_group_has_no_weight() -> None:
    assert v2.plan({"cpu": {"idle": 1, "shares": 512}}, nothing) == [("cpu.idle", "1")]


@pytest.mark.parametrize("version", [v1, v2])
def test_an_empty_document_writes_nothing(version: Any) -> None:
    document = {"memory": None, "cpu": {}, "pids": {}, "blockIO": None, "hugepageLimits": [], "rdma": None}

    assert version.plan(document, nothing) == []


def test_the_unified_map_is_written_line_by_line() -> None:
    settings = v2.plan_unified({"io.max": "8:0 rbps=1\n8:16 rbps=2", "memory.high": "5"})

    assert settings == [("io.max", "8:0 rbps=1"), ("io.max", "8:16 rbps=2"), ("memory.high", "5")]


@pytest.mark.parametrize("file", ["../memory.max", "a/b.c", "cgroup.procs", "memory", ".x", "a.\0", ""])
def test_the_unified_map_cannot_name_other_files(file: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid file name"):
        v2.plan_unified({file: "1"})


@pytest.mark.parametrize("size", ["../x", "", "2 MB", "2MB/y"])
def test_a_page_size_cannot_name_other_files(size: str) -> None:
    with pytest.raises(InvalidArgument, match="huge page size"):
        v2.plan({"hugepageLimits": [{"pageSize": size, "limit": 1}]}, nothing)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/wherry/abc", "/wherry/abc"),
        ("wherry/abc", "/wherry/abc"),
        ("//a/./b//", "/a/b"),
        ("system.slice:docker:abc", "/system.slice/docker-abc.scope"),
        (":docker:abc", "/system.slice/docker-abc.scope"),
        ("a-b-c.slice:p:n", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"),
        ("-.slice:p:n", "/p-n.scope"),
        ("x.slice::n", "/x.slice/n.scope"),
        ("x.slice:p:y.slice", "/x.slice/y.slice"),
        ("/a:b:c", "/a:b:c"),
    ],
)
def test_a_path_is_made_absolute(given: str, expected: str) -> None:
    assert normalise_path(given) == expected


@pytest.mark.parametrize(
    "given", ["", "/", "/a/../b", "..", "a\0b", "system:p:n", "a--b.slice:p:n", "x.slice:p:"]
)
def test_a_path_that_climbs_or_names_nothing_is_refused(given: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid"):
        normalise_path(given)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], "linux.resources: expected an object"),
        ({"memory": 1}, "linux.resources.memory: expected an object"),
        ({"memory": {"limit": "much"}}, "linux.resources.memory.limit: expected a number, found 'much'"),
        ({"pids": {"limit": True}}, "linux.resources.pids.limit: expected a number"),
        ({"cpu": {"cpus": 1}}, "linux.resources.cpu.cpus: expected a string"),
        ({"devices": {}}, "linux.resources.devices: expected a list"),
        ({"devices": ["c 1:3 rwm"]}, r"linux.resources.devices\[0\]: expected an object"),
        ({"blockIO": {"weightDevice": [{"major": 8}]}}, r"weightDevice\[0\].minor: expected a number"),
        ({"hugepageLimits": [{"limit": 1}]}, "pageSize: expected a string"),
        ({"rdma": {"mlx5_1": 3}}, "linux.resources.rdma.mlx5_1: expected an object"),
        ({"unified": []}, "linux.resources.unified: expected an object"),
    ],
)
def test_a_document_of_another_shape_is_refused(document: Any, path: str) -> None:
    with pytest.raises(InvalidArgument, match=path):
        resources.check(document)


def test_a_document_of_the_right_shape_is_taken() -> None:
    resources.check(DOCUMENT)
    resources.check(
        {"memory": None, "devices": None, "blockIO": {"weightDevice": None}, "cpu": {"shares": None}}
    )
