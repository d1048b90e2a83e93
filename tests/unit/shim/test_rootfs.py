"""What decides how the root directory's mount is made."""

import pytest

from wherry.shim.rootfs import takes_layers


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("5.15.0-119-generic", False),
        ("6.1.0-56-amd64", False),
        ("6.5-rc3", False),
        ("6.7.0", True),
        ("6.12.6+rpi-v8", True),
        ("7.0.1", True),
    ],
)
def test_layers_are_told_one_by_one_only_to_kernels_that_can_know_the_word(
    release: str, expected: bool
) -> None:
    assert takes_layers(release) is expected
