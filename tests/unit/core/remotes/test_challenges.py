"""WWW-Authenticate headers, well formed and not."""

from hypothesis import given
from hypothesis import strategies as st

from wherry.core.remotes.challenges import Challenge, parse_challenges


def test_a_bearer_challenge_has_its_parameters() -> None:
    header = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'

    assert parse_challenges(header) == [
        Challenge(
            "bearer",
            {
                "realm": "https://auth.docker.io/token",
                "service": "registry.docker.io",
                "scope": "repository:a/b:pull,push",
            },
        )
    ]


def test_several_challenges_are_told_apart() -> None:
    found = parse_challenges('Negotiate, Basic realm="a \\"b\\"", BEARER realm=x , service = y')

    assert found == [
        Challenge("negotiate", {}),
        Challenge("basic", {"realm": 'a "b"'}),
        Challenge("bearer", {"realm": "x", "service": "y"}),
    ]


def test_the_first_of_two_equal_parameters_counts() -> None:
    assert parse_challenges("Bearer realm=a,realm=b")[0].parameters == {"realm": "a"}


def test_ten_thousand_parameters_are_not_kept() -> None:
    header = "Bearer " + ",".join(f"p{i}=v" for i in range(1000))

    assert len(parse_challenges(header)[0].parameters) <= 32


@given(st.text(max_size=200))
def test_no_header_makes_it_fail(header: str) -> None:
    assert isinstance(parse_challenges(header), list)
