"""A shim imports nothing after its fork, so all that is imported late must be warm."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"


def imported_in_functions(path: Path) -> Iterator[str]:
    """The modules that `path` imports inside functions."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    yield from (alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module


def test_everything_imported_late_is_in_the_spawner_already() -> None:
    code = f"""import sys; sys.path.insert(0, {str(SOURCE)!r}); import wherry.spawner.main
for name, module in sys.modules.items(): print(name, getattr(module, "__file__", None), sep="=")"""
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = dict(line.partition("=")[::2] for line in run.stdout.splitlines())
    ours = [Path(path) for name, path in loaded.items() if name.startswith("wherry.")]

    late = {name for path in ours for name in imported_in_functions(path)}

    alternatives = {"_sha2", "_sha256"}  # one of them, by Python's version
    assert late - alternatives <= loaded.keys()
    assert alternatives & loaded.keys()
