"""Checking a bundle's configuration."""

from typing import Any

import pytest

from wherry.runtime.failures import InvalidSpec
from wherry.runtime.plan import Plan


def spec(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "process": {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    }
    return base | changes


def process(**changes: Any) -> dict[str, Any]:
    return spec(process=spec()["process"] | changes)


def linux(**members: Any) -> dict[str, Any]:
    return spec(linux=spec()["linux"] | members)


def bind(**members: Any) -> dict[str, Any]:
    return spec(mounts=[{"destination": "/a", "source": "/b", "type": "bind"} | members])


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (process(args=[]), "args must not be empty"),
        (process(args=["a\0b"]), "invalid argument"),
        (process(cwd=""), "cwd property must not be empty"),
        (process(cwd="relative"), "must be an absolute path"),
        (process(user={"uid": -1}), "uid -1"),
        (process(user={"uid": 1 << 32}), "uid 4294967296"),
        (process(user={"uid": 0, "additionalGids": [4294967295]}), "gid 4294967295"),
        (process(user={"uid": True}), "uid True"),
        (process(env=["A"]), "invalid environment variable"),
        (process(env=["=b"]), "invalid environment variable"),
        (process(consoleSize={"height": 70000, "width": 1}), "console size"),
        (spec(linux={"namespaces": [{"type": "pid"}]}), "without a mount namespace"),
        (spec(linux={"namespaces": [{"type": "mount"}, {"type": "mount"}]}), "duplicated ns"),
        (spec(linux={"namespaces": [{"type": "moon"}]}), "does not exist"),
        (spec(hostname="x"), "without a private UTS namespace"),
        (spec(linux={"namespaces": [{"type": "mount"}, {"type": "user"}]}), "no uid and gid mappings"),
        (
            spec(linux={"namespaces": [{"type": "mount"}], "uidMappings": [{}]}),
            "user namespace isn't enabled",
        ),
        (spec(linux={"namespaces": [{"type": "mount"}], "timeOffsets": {"boottime": {}}}), "time namespace"),
        (spec(linux={"namespaces": [{"type": "mount"}], "rootfsPropagation": "up"}), "rootfsPropagation=up"),
        (linux(intelRdt={"closID": "x"}), "linux.intelRdt is not supported"),
        (linux(netDevices={"eth0": {}}), "linux.netDevices is not supported"),
        (linux(memoryPolicy={"mode": "MPOL_BIND"}), "linux.memoryPolicy is not supported"),
        (bind(options=["rbind", "ridmap"]), "mount option ridmap is not supported"),
        (bind(options=["idmap"]), "mount option idmap is not supported"),
        (bind(uidMappings=[{}]), "mount '/a': uidMappings is not supported"),
        (bind(gidMappings=[{}]), "mount '/a': gidMappings is not supported"),
        (spec(mounts=[{"destination": ""}]), "not a path"),
        (spec(mounts=[{"destination": "/a"}]), "neither a type nor the option bind"),
    ],
)
def test_a_configuration_that_nobody_can_run_is_refused(document: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidSpec, match=text):
        Plan(document)


def test_go_writes_null_for_what_is_empty() -> None:
    plan = Plan(
        spec(
            mounts=None,
            hooks=None,
            annotations=None,
            linux={"namespaces": [{"type": "mount"}], "maskedPaths": None, "sysctl": None, "devices": None},
            process={"args": ["true"], "cwd": "/", "user": {"uid": 0, "additionalGids": None}, "env": None},
        )
    )

    assert (plan.mounts, plan.masked_paths, plan.process.additional_gids) == ([], [], [])


def test_of_equal_names_in_the_environment_the_last_counts() -> None:
    plan = Plan(process(env=["A=1", "B=x=y", "A=2"]))

    assert plan.process.environment == {b"A": b"2", b"B": b"x=y"}


def test_text_is_utf_8_whatever_the_locale() -> None:
    plan = Plan(process(args=["é"], env=["Ü=ß"]))

    assert plan.process.args == ["é".encode()]
    assert plan.process.environment == {"Ü".encode(): "ß".encode()}


def test_capabilities_that_are_not_given_are_none() -> None:
    assert Plan(process()).process.capabilities is None
    given = Plan(process(capabilities={"bounding": ["CAP_KILL"], "effective": None})).process.capabilities
    assert given is not None
    assert given["bounding"] == {"CAP_KILL"}
    assert given["effective"] == given["ambient"] == frozenset()


def test_a_namespace_with_a_path_is_joined_and_one_without_is_made() -> None:
    plan = Plan(spec(linux={"namespaces": [{"type": "mount"}, {"type": "network", "path": "/n"}]}))

    assert plan.namespaces.create == {"mount"}
    assert plan.namespaces.join == {"network": "/n"}
