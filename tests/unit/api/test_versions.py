"""Versions: which are served, and the exact words for those that are not."""

import pytest

from wherry.api import versions
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1.44/info", ("1.44", "/info")),
        ("/v1.44/images/a/v1.2/json", ("1.44", "/images/a/v1.2/json")),
        ("/info", (None, "/info")),
        ("/volumes", (None, "/volumes")),
        ("/volumes/x", (None, "/volumes/x")),
        ("/v1.44", (None, "/v1.44")),
        ("/v/info", (None, "/v/info")),
        ("/v1.x/info", (None, "/v1.x/info")),
    ],
)
def test_only_a_first_segment_of_numbers_is_a_version(path: str, expected: tuple[str | None, str]) -> None:
    assert versions.split_path(path) == expected


def test_no_version_is_the_newest() -> None:
    assert versions.negotiate(None) == versions.NEWEST


@pytest.mark.parametrize("text", ["1.40", "1.44", "1.56"])
def test_a_version_in_the_range_is_taken(text: str) -> None:
    assert versions.to_text(versions.negotiate(text)) == text


def test_an_old_client_is_told_what_to_do() -> None:
    with pytest.raises(InvalidArgument) as caught:
        versions.negotiate("1.9")

    assert str(caught.value) == (
        "client version 1.9 is too old. Minimum supported API version is 1.40, "
        "please upgrade your client to a newer version"
    )


def test_a_new_client_is_told_the_maximum() -> None:
    with pytest.raises(InvalidArgument) as caught:
        versions.negotiate("1.99")

    assert str(caught.value) == "client version 1.99 is too new. Maximum supported API version is 1.56"


@pytest.mark.parametrize("text", ["", ".", "1..2", "1.2.3.4", "1." + "9" * 5000])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        versions.negotiate(text)
