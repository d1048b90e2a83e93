"""A SIGKILL at every step of every operation: nothing is orphaned, nothing is lost.

Each test arms one fault point, runs the operation that passes it, and lets whatever process reached it
first (the daemon, the spawner or a shim) die there.  Then a fresh daemon must come up, every container must
be removable, the same operation must work, and the kernel must hold nothing that nobody accounts for.
A bystander container runs through it all.
"""

import time
from collections.abc import Callable, Iterator

import pytest
from tests.daemon import TIME_FACTOR, Daemon
from tests.integration.faults import scenarios
from tests.integration.faults.points import fault_points


def scenario_of(point: str) -> Callable[[scenarios.World], None]:
    """The operation that passes `point`, by the longest prefix of its name.

    Raises:
        AssertionError: no scenario covers it.
    """
    prefixes = [prefix for prefix in scenarios.COVERED if f"{point}.".startswith(f"{prefix}.")]
    assert prefixes, f"no scenario passes {point}: add one to scenarios.COVERED"
    return scenarios.COVERED[max(prefixes, key=len)]


@pytest.fixture(scope="module")
def world() -> Iterator[scenarios.World]:
    with scenarios.World() as world:
        yield world


@pytest.mark.faults
@pytest.mark.parametrize("point", fault_points())
def test_a_kill_at_this_step_leaves_nothing_behind(world: scenarios.World, point: str) -> None:
    daemon = world.daemon
    run = scenario_of(point)
    trigger = daemon.root / "trigger"
    daemon.terminate()
    daemon.environment["WHERRY_FAULT"] = f"{point}@{trigger}"
    daemon.start()
    before = bystander_lines(daemon)

    trigger.touch()
    run(world)
    reached = not trigger.exists()
    trigger.unlink(missing_ok=True)
    revive(daemon)

    assert reached, f"{run.__name__} does not pass {point}"
    assert bystander_lines(daemon) > before
    remove_all_but_the_bystander(daemon)
    run(world)
    remove_all_but_the_bystander(daemon)
    assert world.orphans() == []


def revive(daemon: Daemon) -> None:
    """Bring up a daemon without a fault, whether or not the last one still lives."""
    assert daemon.process
    del daemon.environment["WHERRY_FAULT"]
    if daemon.process.poll() is None:
        daemon.terminate()
    daemon.start()


def bystander_lines(daemon: Daemon) -> int:
    """How many lines the bystander has logged; waits until it has logged one more."""
    seen = count(daemon)
    deadline = time.monotonic() + 10 * TIME_FACTOR
    while (now := count(daemon)) == seen:
        assert time.monotonic() < deadline, "the bystander's log no longer grows"
        time.sleep(0.1)
    return now


def count(daemon: Daemon) -> int:
    return daemon.client("logs", "bystander").stdout.count(b"\n")


def remove_all_but_the_bystander(daemon: Daemon) -> None:
    listed = daemon.client("ps", "-a", "--format", "{{.Names}}").stdout.decode().split()
    doomed = [name for name in listed if name != "bystander"]
    if doomed:
        daemon.client("rm", "-f", "-v", *doomed)
    left = daemon.client("ps", "-a", "--format", "{{.Names}}").stdout.decode().split()
    assert left == ["bystander"]


def test_every_point_has_a_scenario() -> None:
    for point in fault_points():
        scenario_of(point)


def test_there_are_points_at_all() -> None:
    assert len(fault_points()) > 30
