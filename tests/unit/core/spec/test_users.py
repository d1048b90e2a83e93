"""Users: one parser for everything that runs, which never takes a number for a name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.core.spec.users import MAXIMUM_ID, User, resolve_user
from wherry.errors import InvalidArgument

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\n# comment\nbroken\nx:x:-1:0:::\n"
)
GROUP = b"root:x:0:\nstaff:x:50:alice,bob\nbob:x:1001:\nusers:x:100:bob\n"
RANGE = r"^uids and gids must be in range 0-2147483647$"


class TestRefusals:
    @pytest.mark.parametrize(
        "text", ["-1", "2147483648", "4294967295", "4294967296", "+1", "1000:4294967297", "0:-1"]
    )
    def test_a_number_out_of_range_is_never_a_name(self, text: str) -> None:
        passwd = f"{text}:x:0:0:::\n".encode()

        with pytest.raises(InvalidArgument, match=RANGE):
            resolve_user(text, passwd=passwd, group=GROUP)

    @pytest.mark.parametrize("text", ["1e3", "٣", "0x0", "1a", "a\nb"])
    def test_what_looks_like_a_number_is_not_looked_up(self, text: str) -> None:
        passwd = f"{text}:x:0:0:::\n".encode()

        with pytest.raises(InvalidArgument, match="no matching entries in passwd file"):
            resolve_user(text, passwd=passwd, group=GROUP)

    def test_an_unknown_user_is_named(self) -> None:
        with pytest.raises(
            InvalidArgument, match=r"^unable to find user carol: no matching entries in passwd file$"
        ):
            resolve_user("carol", passwd=PASSWD, group=GROUP)

    @pytest.mark.parametrize("text", ["bob:nope", ":nope"])
    def test_an_unknown_group_is_named(self, text: str) -> None:
        with pytest.raises(
            InvalidArgument, match=r"^unable to find group nope: no matching entries in group file$"
        ):
            resolve_user(text, passwd=PASSWD, group=GROUP)

    def test_an_unknown_added_group_is_named(self) -> None:
        with pytest.raises(InvalidArgument, match="unable to find group nope"):
            resolve_user("", passwd=PASSWD, group=GROUP, group_add=("nope",))


class TestResolution:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", User(uid=0, gid=0, additional_gids=(0,), home="/root")),
            ("root", User(uid=0, gid=0, additional_gids=(0,), home="/root")),
            ("bob", User(uid=1000, gid=1001, additional_gids=(1001, 50, 100), home="/home/bob")),
            ("1000", User(uid=1000, gid=1001, additional_gids=(1001, 50, 100), home="/home/bob")),
            ("01000", User(uid=1000, gid=1001, additional_gids=(1001, 50, 100), home="/home/bob")),
            ("bob:staff", User(uid=1000, gid=50, additional_gids=(50,), home="/home/bob")),
            ("bob:7", User(uid=1000, gid=7, additional_gids=(7,), home="/home/bob")),
            ("77", User(uid=77, gid=0, additional_gids=(0,), home="/")),
            ("77:88", User(uid=77, gid=88, additional_gids=(88,), home="/")),
            (str(MAXIMUM_ID), User(uid=MAXIMUM_ID, gid=0, additional_gids=(0,), home="/")),
        ],
    )
    def test_every_form(self, text: str, expected: User) -> None:
        assert resolve_user(text, passwd=PASSWD, group=GROUP) == expected

    def test_an_image_without_the_files_has_root_and_numbers(self) -> None:
        assert resolve_user("", passwd=b"", group=b"") == User()
        assert resolve_user("5:6", passwd=b"", group=b"").gid == 6

    def test_added_groups_come_after_the_primary_one_and_once(self) -> None:
        user = resolve_user("bob", passwd=PASSWD, group=GROUP, group_add=("staff", "0", "1001"))

        assert user.additional_gids == (1001, 50, 100, 0)

    @given(st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=20))
    def test_hostile_files_give_a_user_in_range_or_a_refusal(
        self, passwd: bytes, group: bytes, text: str
    ) -> None:
        try:
            user = resolve_user(text, passwd=passwd, group=group)
        except InvalidArgument:
            return

        assert 0 <= user.uid <= MAXIMUM_ID
        assert all(0 <= gid <= MAXIMUM_ID for gid in (user.gid, *user.additional_gids))
