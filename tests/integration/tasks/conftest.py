"""What the tests of tasks share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.spec import make_busybox_root
from tests.integration.tasks.bench import Bench


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only layer with busybox."""
    return make_busybox_root(tmp_path_factory.mktemp("root"))


@pytest.fixture
def bench(tmp_path: Path, root: Path) -> Bench:
    return Bench(tmp_path, root)
