"""Resource limits."""

import pytest

from wherry.runtime.failures import InvalidSpec
from wherry.runtime.rlimits import parse_rlimits

INFINITY = 0xFFFFFFFFFFFFFFFF


@pytest.mark.parametrize(
    "entries",
    [
        [{"type": "RLIMIT_NOTHING", "soft": 1, "hard": 1}],
        [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}],
        [{"type": "RLIMIT_CPU", "soft": 1, "hard": INFINITY + 1}],
        [{"type": "RLIMIT_CPU", "soft": "1", "hard": 1}],
        [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2,
    ],
)
def test_what_is_no_limit_is_refused(entries: list[dict[str, object]]) -> None:
    with pytest.raises(InvalidSpec, match="rlimit"):
        parse_rlimits(entries)


def test_minus_one_is_infinity() -> None:
    assert parse_rlimits([{"type": "RLIMIT_NOFILE", "soft": 5, "hard": -1}]) == [
        ("RLIMIT_NOFILE", 7, 5, INFINITY)
    ]
