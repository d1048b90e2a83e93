"""A SIGKILL at every step of every operation: nothing is orphaned, nothing is lost, nobody waits for ever.

Each test arms one fault point, runs the operation that passes it, and lets whatever process reached it
first (the daemon, the spawner, a shim or the runtime's command) die there; or it has that process wait there
while another one dies.  Then a fresh daemon must come
up, every container must be removable, the same operation must work, and neither the kernel nor the disk may
hold what nobody accounts for.  A bystander container runs through it all, and no line of its log is lost.
"""

from collections.abc import Iterator

import pytest
from tests.integration.faults.points import fault_points, other_processes, reachable_points
from tests.integration.faults.scenarios import scenario_of
from tests.integration.faults.world import World


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.mark.faults
@pytest.mark.parametrize("point", reachable_points())
def test_a_kill_at_this_step_leaves_nothing_behind(world: World, point: str) -> None:
    run = scenario_of(point)
    before = world.bystander_lines()

    with world.arming(point) as trigger:
        run(world)
        reached = not trigger.exists()
    world.cycle()

    assert reached, f"{run.__name__} does not pass {point}: {world.failures}"
    check_that_all_is_well(world, before)
    run(world)
    world.remove_all_but_the_bystander()
    assert world.orphans() == []


@pytest.mark.faults
@pytest.mark.parametrize(("point", "victim"), other_processes())
def test_the_death_of_another_at_this_step_leaves_nothing_behind(
    world: World, point: str, victim: str
) -> None:
    run = scenario_of(point)
    before = world.bystander_lines()

    world.kill_at(point, victim, run)
    if not world.lives():
        world.cycle()

    check_that_all_is_well(world, before)
    run(world)
    world.remove_all_but_the_bystander()
    assert world.orphans() == []


def check_that_all_is_well(world: World, lines: int) -> None:
    """The bystander has logged on, and everything else can be removed."""
    assert world.bystander_lines() > lines
    world.remove_all_but_the_bystander()


def test_every_point_has_a_scenario() -> None:
    for point in fault_points():
        scenario_of(point)


def test_there_are_points_at_all() -> None:
    assert len(fault_points()) > 100
