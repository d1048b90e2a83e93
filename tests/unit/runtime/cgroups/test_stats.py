"""Numbers of control groups, read from files as the kernel writes them."""

from pathlib import Path

import pytest

from wherry.runtime.cgroups import stats

V2 = {
    "cpu.stat": "usage_usec 30\nuser_usec 10\nsystem_usec 20\n"
    "nr_periods 3\nnr_throttled 2\nthrottled_usec 7\n",
    "cpuset.cpus.effective": "0-2,5\n",
    "cpuset.mems.effective": "0\n",
    "memory.stat": "anon 5\nfile 4096\nhigh_name 1 2\n",
    "memory.current": "8192\n",
    "memory.max": "max\n",
    "memory.peak": "9000\n",
    "memory.swap.current": "100\n",
    "memory.swap.max": "200\n",
    "memory.events": "low 0\nhigh 0\nmax 4\noom 0\noom_kill 0\n",
    "pids.current": "2\n",
    "pids.max": "max\n",
    "io.stat": "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n259:0\n8:0 \n",
}
NO_LIMIT = (1 << 64) - 1


@pytest.fixture
def group(tmp_path: Path) -> Path:
    for name, text in V2.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_v2_counts_in_nanoseconds_and_bytes(group: Path) -> None:
    found = stats.v2_stats(str(group))

    assert found["cpu"]["usage"] == {"total": 30000, "kernel": 20000, "user": 10000}
    assert found["cpu"]["throttling"] == {"periods": 3, "throttledPeriods": 2, "throttledTime": 7000}
    assert found["cpuset"] == {"cpus": [0, 1, 2, 5], "mems": [0]}
    assert found["memory"]["usage"] == {"usage": 8192, "limit": NO_LIMIT, "failcnt": 4, "max": 9000}
    assert found["memory"]["cache"] == 4096
    assert found["pids"] == {"current": 2, "limit": 0}


def test_v2_swap_is_told_as_v1_does_with_the_memory(group: Path) -> None:
    (group / "memory.max").write_text("10000\n")

    assert stats.v2_stats(str(group))["memory"]["swap"] == {
        "usage": 8292, "limit": 10200, "max": 0, "failcnt": 0,
    }  # fmt: skip


def test_each_operation_on_a_block_device_is_an_entry(group: Path) -> None:
    found = stats.v2_stats(str(group))["blkio"]

    assert found["ioServiceBytesRecursive"] == [
        {"major": 8, "minor": 16, "op": "Read", "value": 1},
        {"major": 8, "minor": 16, "op": "Write", "value": 2},
        {"major": 8, "minor": 16, "op": "Discard", "value": 5},
    ]
    assert [entry["value"] for entry in found["ioServicedRecursive"]] == [3, 4, 6]


@pytest.mark.parametrize(
    ("missing", "part"), [("pids.max", "pids"), ("io.stat", "blkio"), ("memory.current", "memory")]
)
def test_a_missing_controller_leaves_its_part_out(group: Path, missing: str, part: str) -> None:
    (group / missing).unlink()

    found = stats.v2_stats(str(group))

    assert part not in found
    assert "cpu" in found


def test_an_old_kernel_has_no_peak_and_no_swap(group: Path) -> None:
    (group / "memory.peak").unlink()
    (group / "memory.swap.current").unlink()

    memory = stats.v2_stats(str(group))["memory"]

    assert memory["usage"]["max"] == 0
    assert "swap" not in memory


def test_v1_takes_the_counters_of_the_scheduler_that_counted(tmp_path: Path) -> None:
    for scheduler, lines in (("bfq", "Total 0\n"), ("throttle", "8:0 Read 512\n8:0 Total 512\nTotal 512\n")):
        for kind in ("io_service_bytes", "io_serviced"):
            (tmp_path / f"blkio.{scheduler}.{kind}_recursive").write_text(lines)

    found = stats.v1_stats({"blkio": str(tmp_path)})["blkio"]

    assert found["ioServiceBytesRecursive"][0] == {"major": 8, "minor": 0, "op": "Read", "value": 512}


def test_v1_without_hierarchies_has_no_numbers() -> None:
    assert stats.v1_stats({"name=systemd": "/nowhere"}) == {}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("\n", []), ("0", [0]), ("0-3", [0, 1, 2, 3]), ("1,3-4,7\n", [1, 3, 4, 7])],
)
def test_a_list_of_the_kernel_is_expanded(text: str, numbers: list[int]) -> None:
    assert stats.expand_list(text) == numbers
