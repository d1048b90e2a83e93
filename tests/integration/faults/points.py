"""The fault points of the source tree, found in the code itself."""

import ast
from pathlib import Path

from wherry.linux import cgroupfs

SOURCE = Path(__file__).parents[3] / "src" / "wherry"


def fault_points() -> list[str]:
    """Every name that the code passes to `fault_point`, sorted.

    Raises:
        AssertionError: a name that is no literal, or that stands twice.
    """
    names: list[str] = []
    for source in sorted(SOURCE.rglob("*.py")):
        if source.name == "faults.py":
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fault_point":
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{source}:{node.lineno}: not a literal name"
                names.append(str(argument.value))
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, f"fault points that stand twice: {sorted(twice)}"
    return sorted(names)


def reachable_points() -> list[str]:
    """The points that a process of this machine can pass.

    Those named `cgroup.v1-` and `cgroup.v2-` belong to one version of control groups, and a machine has
    one of them.  The other version's are killed where there is one: tests/integration/runtime/cgroups
    does it for the host's own version, and again in the virtual machine, which has version 2.
    """
    absent = f"cgroup.v{3 - cgroupfs.layout().version}-"
    return [point for point in fault_points() if not point.startswith(absent)]
