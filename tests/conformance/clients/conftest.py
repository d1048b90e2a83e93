"""One daemon with a busybox image for all tests of real clients."""

from collections.abc import Iterator

import pytest
from tests.daemon import Daemon


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon() as daemon:
        daemon.import_busybox()
        yield daemon
