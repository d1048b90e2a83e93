"""Home directories."""

import pytest

from wherry.runtime.identity import home_of

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nbare:x:7:7::\nshort:x\n:::::\n"
)


@pytest.mark.parametrize(
    ("uid", "home"), [(0, b"/root"), (1000, b"/home/user"), (7, b"/"), (8, b"/"), (4294967294, b"/")]
)
def test_the_home_directory_is_that_of_the_number(uid: int, home: bytes) -> None:
    assert home_of(uid, PASSWD) == home


def test_a_name_of_digits_is_no_number() -> None:
    assert home_of(5, b"5:x:0:0::/root:/bin/sh\n") == b"/"
