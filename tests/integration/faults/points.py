"""The fault points of the source tree, found in the code itself."""

import ast
from pathlib import Path

from wherry.linux import cgroupfs

SOURCE = Path(__file__).parents[3] / "src" / "wherry"


def fault_points() -> list[str]:
    """Every name that the code passes to `fault_point`, sorted.

    Raises:
        AssertionError: a name that stands twice.
    """
    names = [name for name, _ in places()]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"fault points that stand twice: {sorted(twice)}"
    return sorted(names)


def places() -> list[tuple[str, str]]:
    """Every point, with the package whose code passes it.

    Raises:
        AssertionError: a name that is no literal.
    """
    found: list[tuple[str, str]] = []
    for source in sorted(SOURCE.rglob("*.py")):
        if source.name == "faults.py":
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fault_point":
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{source}:{node.lineno}: not a literal name"
                found.append((str(argument.value), source.relative_to(SOURCE).parts[0]))
    return found


def reachable_points() -> list[str]:
    """The points that a process of this machine can pass.

    Those named `cgroup.v1-` and `cgroup.v2-` belong to one version of control groups, and a machine has
    one of them.  The other version's are killed where there is one: tests/integration/runtime/cgroups
    does it for the host's own version, and again in the virtual machine, which has version 2.
    """
    absent = f"cgroup.v{3 - cgroupfs.layout().version}-"
    return [point for point in fault_points() if not point.startswith(absent)]


DAEMON, SPAWNER, SHIM = "daemon", "spawner", "shim"
# Who passes the points of a package; those of the runtime are passed by helpers of a shim.
PASSED_BY = {"engine": DAEMON, "core": DAEMON, "daemon": DAEMON, "spawner": SPAWNER, "shim": SHIM}
# The daemon alone takes part in these, and in the runtime's commands nobody but themselves.
ALONE = {
    "content", "daemon", "images", "import", "load", "pull", "push", "restore", "runtime", "save", "snapshot",
    "unpack", "volumes",
}  # fmt: skip


def other_processes() -> list[tuple[str, str]]:
    """Each reachable point at which several processes work together, with each that does not pass it."""
    passers = {name: PASSED_BY.get(package, "") for name, package in places()}
    return [
        (point, victim)
        for point in reachable_points()
        if point.partition(".")[0] not in ALONE
        for victim in (DAEMON, SPAWNER, SHIM)
        if victim != passers[point]
    ]
