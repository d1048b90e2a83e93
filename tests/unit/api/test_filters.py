"""Filters: both forms, and Docker's words for what is neither."""

import pytest

from wherry.api import filters
from wherry.errors import InvalidArgument


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_nothing_is_no_filter(text: str | None) -> None:
    assert filters.parse(text) == {}


@pytest.mark.parametrize(
    "text", ['{"label":["a","b"]}', '{"label":{"a":true,"b":true}}', '{"label":["a","b","a"]}']
)
def test_both_forms_mean_the_same(text: str) -> None:
    assert filters.parse(text) == {"label": ["a", "b"]}


@pytest.mark.parametrize(
    "text", ["x", "[]", '"x"', '{"label":"a"}', '{"label":{"a":1}}', '{"label":[1]}', "\ud800"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid filter$"):
        filters.parse(text)


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid filter 'nope'$"):
        filters.check({"label": ["a"], "nope": ["b"]}, {"label"})


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_a_boolean_is_read(value: str, expected: bool) -> None:
    assert filters.boolean({"all": [value]}, "all", default=not expected) is expected


@pytest.mark.parametrize("values", [["x"], ["1", "0"], ["True"]])
def test_a_bad_boolean_is_shown(values: list[str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        filters.boolean({"all": values}, "all", default=False)

    assert str(caught.value) == f"invalid filter 'all=[{' '.join(values)}]'"


def test_a_boolean_that_is_not_given_is_the_default() -> None:
    assert filters.boolean({}, "all", default=True) is True
