"""What the first start writes to is known to those that follow."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from wherry.shim import learned


@pytest.fixture(autouse=True)
def shared() -> Iterator[None]:
    learned.share()
    yield
    learned._shared = None


def test_of_an_unknown_role_nothing_is_taken() -> None:
    learned.take_pages(learned.INIT)

    assert learned._number_of(learned.INIT) == 0


def test_a_process_that_is_gone_teaches_nothing() -> None:
    learned.learn_pages(learned.INIT, 2**22 + 1)

    assert learned._number_of(learned.INIT) == 0


def test_what_a_child_has_learned_its_parent_knows_and_it_stays() -> None:
    pid = os.fork()
    if pid == 0:
        learned.learn_pages(learned.SHIM)
        os._exit(0)
    os.waitpid(pid, 0)
    known = learned._number_of(learned.SHIM)

    learned.learn_pages(learned.SHIM)
    learned.take_pages(learned.SHIM)

    assert known > 0
    assert learned._number_of(learned.SHIM) == known
    assert learned._number_of(learned.HELPER) == 0
