"""The fault points of the source tree, found in the code itself."""

import ast
from pathlib import Path

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
