"""The daemon that the tests of this directory share, for its start takes seconds in the machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.vm.service import Service


@pytest.fixture(scope="session")
def shared_service() -> Iterator[Service]:
    from tests.vm.service import Service

    service = Service()
    try:
        service.start()
        service.import_busybox()
        yield service
    finally:
        service.remove()


@pytest.fixture
def service(shared_service: Service) -> Iterator[Service]:
    """The unit, started, with the image `busybox`; every container in it is gone after the test."""
    shared_service.start()
    yield shared_service
    shared_service.start()
    shared_service.remove_containers()
