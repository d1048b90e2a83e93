"""wherryd as a service of systemd: where its processes live, and what outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.daemon import TIME_FACTOR
from tests.vm.marks import needs_systemd
from tests.vm.service import Service, group_of, is_alive, processes, wait_until

pytestmark = needs_systemd

# Counts on, so that its log tells whether it was interrupted.
COUNT = "i=0; trap 'exit 7' TERM; while :; do echo $i; i=$((i+1)); sleep 0.2 & wait $!; done"


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def counted(service: Service, name: str) -> list[int]:
    return [int(line) for line in service.wherry("logs", name).stdout.split()]


def test_every_process_has_its_place_in_the_units_cgroup(service: Service) -> None:
    service.wherry("run", "-d", "--name", "box", "busybox", "sleep", "600")

    assert processes(service.group / "wherryd") == [service.main_pid]
    titles = [title(pid) for pid in processes(service.group / "spawner")]
    assert any(name.startswith("wherry-spawner") for name in titles)
    assert any(service.inspect("box")["Id"] in name for name in titles)
    assert not (service.group / "cgroup.procs").read_text()
    assert group_of(service.inspect("box")["State"]["Pid"]) == service.group_of("box")


def test_containers_outlive_a_stop_of_the_unit_and_their_exits_are_known(service: Service) -> None:
    for name in ("stays", "ends"):
        service.wherry("run", "-d", "--name", name, "busybox", "sh", "-c", COUNT)
    service.wherry("exec", "-d", "stays", "sleep", "600")
    stays, ends = (service.group_of(name) for name in ("stays", "ends"))
    init, ending = (service.inspect(name)["State"]["Pid"] for name in ("stays", "ends"))

    service.stop()

    assert not processes(service.group / "wherryd")
    assert all(title(pid).startswith("wherry-shim") for pid in processes(service.group))
    assert len(processes(stays)) >= 3
    os.kill(ending, signal.SIGTERM)
    wait_until(lambda: not processes(ends), "the container has ended")

    service.start()

    state = service.inspect("ends")["State"]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 7, False)
    assert service.inspect("stays")["State"]["Pid"] == init
    assert service.wherry("exec", "stays", "echo", "again").stdout == "again\n"
    service.wherry("stop", "-t", str(int(5 * TIME_FACTOR)), "stays")
    assert service.inspect("stays")["State"]["ExitCode"] == 7
    numbers = counted(service, "stays")
    assert numbers == list(range(len(numbers)))
    wait_until(lambda: not stays.exists(), "the container's cgroup is gone")


def test_containers_outlive_a_crash_of_the_daemon(service: Service) -> None:
    service.wherry("run", "-d", "--name", "box", "busybox", "sleep", "600")
    init, first = service.inspect("box")["State"]["Pid"], service.main_pid

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first), "the daemon is dead")
    service.systemctl("restart", service.unit)

    assert processes(service.group / "wherryd") == [service.main_pid]
    assert service.inspect("box")["State"]["Pid"] == init
    assert service.wherry("exec", "box", "echo", "again").stdout == "again\n"


def test_a_second_spawner_and_its_shims_are_outside_the_daemons_cgroup(service: Service) -> None:
    (spawner,) = [p for p in processes(service.group / "spawner") if title(p).startswith("wherry-spawner")]

    os.kill(spawner, signal.SIGKILL)

    wait_until(lambda: not is_alive(spawner), "the spawner is dead")
    service.wherry("run", "-d", "--name", "box", "busybox", "sleep", "600")
    assert processes(service.group / "wherryd") == [service.main_pid]
    assert any(service.inspect("box")["Id"] in title(pid) for pid in processes(service.group / "spawner"))


def test_limits_stand_when_systemd_reads_its_units_again(service: Service) -> None:
    service.wherry("run", "-d", "--name", "box", "-m", "64m", "--pids-limit", "50", "busybox", "sleep", "600")

    service.systemctl("daemon-reload")
    service.systemctl("set-property", "--runtime", service.unit, "CPUWeight=50")

    assert service.limits("box", "memory.max", "pids.max") == [str(64 << 20), "50"]
    assert service.wherry("exec", "box", "echo", "well").stdout == "well\n"


def test_a_daemon_that_a_service_starts_leaves_that_services_cgroup_alone(
    service: Service, tmp_path: Path
) -> None:
    """The variables and the delegation of the service are not the daemon's own."""
    invoked = {"INVOCATION_ID": "0" * 32, "SYSTEMD_EXEC_PID": str(os.getpid())}
    with subprocess.Popen(
        [*service.command(tmp_path), "--ready-fd", "1"], stdout=subprocess.PIPE, env=os.environ | invoked
    ) as daemon:
        assert daemon.stdout
        try:
            assert daemon.stdout.readline()

            assert group_of(daemon.pid) == group_of("self")
        finally:
            daemon.terminate()
            try:
                daemon.wait(10 * TIME_FACTOR)
            finally:
                daemon.kill()
