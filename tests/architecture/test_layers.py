"""The layers of ARCHITECTURE.md as code: a package imports only what its line names."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
ROOT = SOURCE / "wherry"

GROUND = {"errors", "diagnostics", "linux", "oci", "files", "logs"}
CLIENT_SIDE = {"client", "api", "errors", "oci", "files", "diagnostics"}
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "diagnostics": set(),
    "linux": set(),
    "oci": {"errors"},
    "files": {"errors", "linux", "diagnostics"},
    "logs": {"errors", "files"},
    "web": {"errors", "diagnostics"},
    "api": {"errors", "oci"},
    "runtime": GROUND,
    "shim": GROUND | {"runtime"},
    "spawner": GROUND | {"runtime", "shim"},
    "core": GROUND | {"shim.protocol", "spawner.client", "spawner.protocol"},
    "engine": GROUND | {"api", "core", "runtime.reaper"},
    "daemon": GROUND | {"web", "api", "core", "engine"},
    "client": {"errors", "api", "files", "web"},
    "cli": CLIENT_SIDE,
}
RATIONED = {
    "asyncio", "dataclasses", "enum", "inspect", "json", "logging", "pathlib", "re", "shutil", "ssl",
    "subprocess", "tempfile", "typing",
}  # fmt: skip
QUICK_STARTERS = [
    "wherry.runtime.main",
    "wherry.shim.main",
    "wherry.spawner.main",
    "wherry.cli.main",
]


def imported_by(source: Path) -> set[str]:
    """The names under `wherry` that `source` imports, without the prefix."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source}: relative imports escape this test"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("wherry.") for name in names if name.startswith("wherry.")}


@pytest.mark.parametrize("package", sorted(LAYERS))
def test_a_package_imports_only_what_its_layer_allows(package: str) -> None:
    allowed = LAYERS[package] | {package, "__version__"}

    for source in [*ROOT.glob(f"{package}.py"), *ROOT.glob(f"{package}/**/*.py")]:
        for name in imported_by(source):
            assert any(f"{name}.".startswith(f"{ok}.") for ok in allowed), f"{source}: {name}"


def test_every_package_has_a_layer() -> None:
    packages = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"}

    assert packages - {"__init__", "__pycache__", "py"} - {"py.typed"} <= LAYERS.keys()


@pytest.mark.parametrize("program", QUICK_STARTERS)
def test_a_quick_starter_loads_nothing_slow(program: str) -> None:
    code = f"import sys, {program}; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert RATIONED.isdisjoint(loaded)
