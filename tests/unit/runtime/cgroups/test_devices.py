"""Device rules: reduced as the v1 kernel does, and answered alike by the program of v2."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import ebpf

from wherry.errors import InvalidArgument
from wherry.runtime.cgroups import devices

DENY_ALL = {"allow": False, "access": "rwm"}
LETTERS = {"m": 1, "r": 2, "w": 4}
HOST_DISK = ("b", 8, 0)


def allow(
    kind: str, major: int | None = None, minor: int | None = None, access: str = "rwm"
) -> dict[str, Any]:
    return {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}


def deny(
    kind: str, major: int | None = None, minor: int | None = None, access: str = "rwm"
) -> dict[str, Any]:
    return allow(kind, major, minor, access) | {"allow": False}


def asked(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    bits = sum(LETTERS[letter] for letter in access)
    context = struct.pack("<III", bits << 16 | (1 if kind == "b" else 2), major, minor)
    return ebpf.run(program, context) == 1


def reduced(*rules: dict[str, Any]) -> devices.DeviceSet:
    wanted = devices.DeviceSet()
    for rule in rules:
        wanted.apply(rule)
    return wanted


def kernel_allows(wanted: devices.DeviceSet, kind: str, major: int, minor: int, bits: int) -> bool:
    """What the v1 kernel answers (security/device_cgroup.c), told by its documentation."""
    matching = [
        access
        for (each, a, b), access in wanted.exceptions.items()
        if each == kind and a in (-1, major) and b in (-1, minor)
    ]
    if wanted.allow:
        return not any(access & bits for access in matching)
    return any(bits & ~access == 0 for access in matching)


def test_without_rules_everything_but_the_harmless_is_denied() -> None:
    program = devices.assemble(devices.reduce([]))

    assert not asked(program, *HOST_DISK, "r")
    assert not asked(program, "c", 1, 1, "r")  # mem
    assert asked(program, *HOST_DISK, "m")  # a node alone opens nothing
    for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 77), (10, 200)):
        assert asked(program, "c", major, minor, "rw")


def test_dockers_rules_refuse_fuse_and_the_disk() -> None:
    program = devices.assemble(devices.reduce([DENY_ALL, allow("c", 1, 5), deny("c", 10, 229)]))

    assert not asked(program, "c", 10, 229, "rw")
    assert not asked(program, *HOST_DISK, "w")


def test_privileged_allows_all() -> None:
    program = devices.assemble(devices.reduce([{"allow": True, "access": "rwm"}]))

    assert asked(program, *HOST_DISK, "rw")


def test_a_given_device_is_allowed_with_its_access_only() -> None:
    program = devices.assemble(devices.reduce([DENY_ALL, allow("b", 8, 0, "r")]))

    assert asked(program, *HOST_DISK, "r")
    assert not asked(program, *HOST_DISK, "w")
    assert not asked(program, *HOST_DISK, "rw")
    assert not asked(program, "b", 8, 1, "r")
    assert not asked(program, "c", 8, 0, "r")


def test_an_any_device_with_a_number_is_not_all_devices() -> None:
    wanted = reduced(DENY_ALL, allow("a", 8, 0))

    assert not wanted.allow
    assert wanted.exceptions == {("b", 8, 0): 7, ("c", 8, 0): 7}


def test_a_missing_access_means_every_access() -> None:
    assert reduced(DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 1}).exceptions == {
        ("c", 1, 1): 7
    }


def test_a_hole_in_a_wider_rule_is_an_error_where_the_kernel_would_ignore_it() -> None:
    with pytest.raises(InvalidArgument, match=r"b 8:0 rw would be a hole in the rule b 8:\* rwm"):
        reduced(allow("b", 8, None), deny("b", 8, 0, "rw"))


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "x"},
        {"type": "c", "access": "rx"},
        {"type": "c", "access": 7},
        {"type": "c", "major": -2},
        {"type": "c", "major": "1"},
        {"type": "c", "minor": 1 << 32},
    ],
)
def test_what_is_no_rule_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="device rule"):
        reduced({"allow": True, **rule})


def test_the_list_of_v1_reads_back() -> None:
    wanted = devices.reduce([DENY_ALL, allow("b", 8, None, "rm")])
    text = "".join(devices.describe(node, access) + "\n" for node, access in wanted.exceptions.items())

    assert devices.parse_list(text) == wanted
    assert devices.parse_list("a *:* rwm\n") == devices.DeviceSet(allow=True)


def test_between_two_sets_only_the_difference_is_written() -> None:
    present = reduced(DENY_ALL, allow("c", 1, 3), allow("c", 1, 5))
    wanted = reduced(DENY_ALL, allow("c", 1, 3, "r"), allow("b", 8, 0))

    assert devices.v1_writes(wanted, present) == [
        ("devices.deny", ["c 1:3 wm", "c 1:5 rwm"]),
        ("devices.allow", ["b 8:0 rwm"]),
    ]


def test_a_new_set_begins_with_deny_all() -> None:
    wanted = reduced(DENY_ALL, allow("c", 1, 3))

    assert devices.v1_writes(wanted, devices.DeviceSet(allow=True)) == [
        ("devices.deny", ["a"]),
        ("devices.allow", ["c 1:3 rwm"]),
    ]


NUMBERS = st.sampled_from([None, 0, 1, 8, 0x80000001, 0xFFFFFFFF])
RULES = st.builds(
    lambda allow, kind, major, minor, access: {
        "allow": allow, "type": kind, "major": major, "minor": minor, "access": "".join(sorted(access)),
    },
    st.booleans(),
    st.sampled_from("abc"),
    NUMBERS,
    NUMBERS,
    st.sets(st.sampled_from("rwm"), min_size=1),
)  # fmt: skip


@given(st.lists(RULES, max_size=8))
def test_the_program_answers_as_the_v1_kernel(rules: list[dict[str, Any]]) -> None:
    try:
        wanted = reduced(*rules)
    except InvalidArgument:
        return
    program = devices.assemble(wanted)

    for kind in "bc":
        for major in (0, 1, 8, 9, 0x80000001):
            for minor in (0, 1, 0xFFFFFFFF):
                for access in ("m", "r", "w", "rw"):
                    bits = sum(LETTERS[letter] for letter in access)
                    expected = kernel_allows(wanted, kind, major, minor, bits)
                    assert asked(program, kind, major, minor, access) == expected
