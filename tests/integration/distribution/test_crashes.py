"""A kill at every step of every transfer: no name without its image, and the next try succeeds."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.distribution.conftest import RealRegistry, Stores, pieces_of, run, tar_of
from tests.integration.distribution.test_archives import config_of, old_archive

from wherry.core.transfer import import_image, push, read_image
from wherry.oci.image_config import chain_ids
from wherry.oci.reference import parse_normalized

ROOT = Path(__file__).parents[3]
LAYER = tar_of({"file": os.urandom(300_000)})
OPERATIONS = ("pull", "push", "load", "save", "import")


def points(prefix: str) -> list[str]:
    """The fault points of transfers that begin with `prefix`, as they stand in the code."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "src/wherry/core/transfer").glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [
        ast.literal_eval(call.args[0]) for call in calls if getattr(call.func, "id", "") == "fault_point"
    ]
    return sorted(name for name in names if name.startswith(f"{prefix}."))


CASES = [(operation, point) for operation in OPERATIONS for point in points(operation)]


def attempt(root: Path, operation: str, argument: str, fault: str = "") -> int:
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.distribution.crashing"]
    return subprocess.run(
        [*command, str(root), operation, argument],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "WHERRY_FAULT": fault},
        check=False,
    ).returncode


@pytest.fixture
def argument(stores: Stores, registry: RealRegistry, tmp_path: Path, operation: str, point: str) -> str:
    """What `operation` works on."""
    name = f"{registry.host}/crash/{point.replace('.', '-')}:1"
    reference = parse_normalized(name)
    run(import_image(stores.services, pieces_of(LAYER), reference=reference))
    if operation == "pull":
        run(push(stores.services, reference))
    if operation in ("pull", "push", "save"):
        return name
    archive = tmp_path / "archive.tar"
    old = tar_of(old_archive(config_of(LAYER), {"x/layer.tar": LAYER}, ["crash:1"]))
    archive.write_bytes(old if operation == "load" else LAYER)
    return str(archive)


def check_consistent(root: Path) -> list[str]:
    """Every name leads to a whole image; returns the names."""
    opened = Stores(root)
    try:
        images = opened.services.images.list("moby")
        for image in images:
            manifest, config = read_image(opened.content, image.target)
            assert all(opened.content.exists(blob.digest) for blob in manifest.children)
            assert all(opened.snapshots.exists(chain) for chain in chain_ids(config.diff_ids))
        return [image.name for image in images]
    finally:
        opened.close()


@pytest.mark.faults
@pytest.mark.parametrize(("operation", "point"), CASES)
def test_a_killed_transfer_leaves_no_half_image_and_succeeds_next_time(
    stores: Stores, tmp_path: Path, argument: str, operation: str, point: str
) -> None:
    root = tmp_path / ("one" if operation in ("push", "save") else "two")
    root.mkdir(exist_ok=True)

    killed = attempt(root, operation, argument, point)
    names = check_consistent(root)
    again = attempt(root, operation, argument)

    assert killed == -9, f"{operation} does not pass {point}"
    assert operation in ("push", "save") or bool(names) == point.endswith(".named")
    assert again == 0
    assert check_consistent(root)


def test_every_operation_has_points() -> None:
    assert {operation for operation, _ in CASES} == set(OPERATIONS)
