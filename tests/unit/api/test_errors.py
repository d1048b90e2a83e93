"""The error table is total, and reads in both directions."""

import pytest

from wherry import errors
from wherry.api.errors import STATUS, from_status, status_of


def test_every_kind_has_a_status() -> None:
    assert STATUS.keys() == set(errors.KINDS)


def test_a_leaf_has_the_status_of_its_kind() -> None:
    class Leaf(errors.Conflict):
        pass

    assert status_of(Leaf("x")) == 409


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError(2, "x"), errors.WherryError("x")])
def test_what_has_no_kind_is_a_500(error: Exception) -> None:
    assert status_of(error) == 500


@pytest.mark.parametrize("kind", [k for k in errors.KINDS if k is not errors.DataLoss])
def test_a_status_comes_back_as_a_kind_of_that_status(kind: type[errors.WherryError]) -> None:
    assert status_of(from_status(STATUS[kind], "x")) == STATUS[kind]
