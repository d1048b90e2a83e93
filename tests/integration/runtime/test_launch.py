"""The library face of the runtime, warm and with a skeleton, as shims use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.runtime.conftest import DEFAULT_CAPABILITIES, SOURCE, Bundle, docker_spec
from tests.integration.runtime.test_attacks import ALL_CAPABILITIES, chroot_escape
from tests.vm.marks import anywhere

pytestmark = anywhere  # the ways to join a cgroup differ, and older kernels clone fewer kinds of mounts
DRIVER = Path(__file__).with_name("driver.py")


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Bundle]:
    if os.geteuid():
        pytest.skip("needs root")
    (tmp_path / "bundle").mkdir()
    bundle = Bundle(tmp_path / "bundle")
    bundle.spec["linux"]["cgroupsPath"] = f"/wherry-test/launch-{os.getpid()}"
    yield bundle
    assert not list(Path("/sys/fs/cgroup").glob(f"*/wherry-test/launch-{os.getpid()}"))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def drive(bundle: Bundle, **request: Any) -> list[dict[str, Any]]:
    document = {"spec": bundle.spec, "bundle": str(bundle.path), **request}
    result = subprocess.run(
        [sys.executable, str(DRIVER)], input=json.dumps(document), env={"PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rounds = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(each["leaked"] == [] and each["children"] == 0 for each in rounds), rounds
    return rounds


@pytest.mark.parametrize(
    ("args", "cause", "code"),
    [
        (["nope"], 'exec: "nope": executable file not found in $PATH', 127),
        (["/nope"], 'exec: "/nope": stat /nope: no such file or directory', 127),
        (["/etc/passwd"], 'exec: "/etc/passwd": permission denied', 126),
        (["/etc"], 'exec: "/etc": is a directory: permission denied', 126),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_a_start_that_fails_gives_cause_and_exit_code_and_leaves_nothing(
    bundle: Bundle, args: list[str], cause: str, code: int, joined: bool
) -> None:
    if joined:
        process = {**bundle.spec["process"], "args": args}
        bundle.command("sleep", "60")
        rounds = drive(bundle, exec=process, repeat=2)
    else:
        bundle.command(*args)
        rounds = drive(bundle, repeat=3)

    assert {(each["error"], each["exit_code"]) for each in rounds} == {(cause, code)}


def test_failures_of_every_stage_leave_nothing(bundle: Bundle) -> None:
    changes: list[dict[str, Any]] = [
        {"mounts": [{"destination": "/x", "type": "bind", "source": "/absent", "options": ["bind"]}]},
        {"mounts": [{"destination": "/x", "type": "tmpfs", "source": "x", "options": ["size=x"]}]},
        {"root": {"path": "absent"}},
        {"hooks": {"createRuntime": [{"path": "/bin/false"}]}},
        {"hooks": {"createContainer": [{"path": "/bin/false"}]}},
        {"mounts": [{"destination": "/etc/passwd", "type": "tmpfs", "source": "x"}]},
    ]
    spec = bundle.spec
    for change in changes:
        bundle.spec = spec | change

        assert "error" in drive(bundle)[0], change


def test_a_container_that_is_aborted_leaves_nothing(bundle: Bundle) -> None:
    bundle.command("sleep", "60")

    assert len(drive(bundle, abort=True, repeat=3)) == 3


def test_output_code_and_namespaces_are_the_containers(bundle: Bundle) -> None:
    bundle.command("sh", "-c", "echo out; hostname; exit 7")

    rounds = drive(bundle, repeat=3)

    assert [(each["output"], each["code"]) for each in rounds] == [("out\ninside\n", 7)] * 3
    assert all(each["network"] and each["mounts"] for each in rounds)


def test_exec_joins_the_container(bundle: Bundle) -> None:
    bundle.command("sleep", "60")
    process = docker_spec("sh", "-c", "hostname; cat /proc/1/cmdline; exit 5")["process"]

    result = drive(bundle, exec=process)[0]

    assert (result["output"], result["exec_code"]) == ("inside\nsleep\x0060\x00", 5)


@pytest.mark.parametrize("capabilities", [DEFAULT_CAPABILITIES, ALL_CAPABILITIES], ids=["default", "all"])
def test_a_chroot_escape_ends_at_the_containers_root(bundle: Bundle, capabilities: list[str]) -> None:
    """Without pivot_root it would reach the skeleton, which holds nothing, but is not the container's."""
    bundle.spec["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted"), capabilities
    )
    (bundle.rootfs / "escape").write_bytes(chroot_escape())
    (bundle.rootfs / "escape").chmod(0o755)
    bundle.command("/escape")

    names = drive(bundle)[0]["output"].split()

    assert set(names) == {".", "..", "bin", "dev", "escape", "etc", "proc", "sys", "tmp"}


def test_the_skeleton_is_gone_from_the_mount_namespace(bundle: Bundle) -> None:
    bundle.command("cat", "/proc/self/mountinfo")

    text = drive(bundle)[0]["output"]

    assert " skeleton " not in text
    assert [line.split()[4] for line in text.splitlines()].count("/") == 1


def test_no_descriptor_of_the_parent_is_inherited(bundle: Bundle) -> None:
    bundle.command("ls", "/proc/self/fd")

    assert drive(bundle)[0]["output"].split() == ["0", "1", "2", "3"]  # 3 is the directory that ls reads
