"""The mounts of a container."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.runtime.conftest import Bundle, Runtime

from wherry.linux import cgroupfs


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A shared mount of the host with another beneath it."""
    top = tmp_path / "shared"
    top.mkdir()
    mount("-t", "tmpfs", "tmpfs", str(top))
    mount("--make-shared", str(top))
    (top / "below").mkdir()
    mount("-t", "tmpfs", "tmpfs", str(top / "below"))
    yield top
    subprocess.run(["umount", "-R", str(top)], check=True)


def mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True)


def test_options_arrive_as_flags(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/a", "tmpfs", "tmpfs", "ro", "noexec", "nosuid", "nodev", "noatime", "size=4k", "mode=700")
    bundle.command("grep", " /a ", "/proc/self/mountinfo")

    fields = runtime.run(bundle).stdout.split()

    assert set(fields[5].split(",")) == {"ro", "nosuid", "nodev", "noexec", "noatime"}
    assert {"size=4k", "mode=700"} <= set(fields[-1].split(","))


def test_a_later_option_wins(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/a", "tmpfs", "tmpfs", "noexec", "exec", "rw", "ro")
    bundle.command("grep", " /a ", "/proc/self/mountinfo")

    assert set(runtime.run(bundle).stdout.split()[5].split(",")) >= {"ro"}
    assert "noexec" not in runtime.run(bundle, name="d").stdout


@pytest.mark.parametrize(("option", "below"), [("ro", "rw"), ("rro", "ro")])
def test_ro_holds_for_the_mount_and_rro_for_all_beneath(
    runtime: Runtime, bundle: Bundle, shared: Path, option: str, below: str
) -> None:
    bundle.mount("/data", "bind", str(shared), "rbind", "rprivate", option)
    bundle.command("grep", " /data", "/proc/self/mountinfo")

    rows = [line.split() for line in runtime.run(bundle).stdout.splitlines()]

    found = {row[4]: row[5].split(",")[0] for row in rows}
    assert found == {"/data": "ro", "/data/below": below}


def test_a_mount_made_inside_does_not_appear_on_the_host(
    runtime: Runtime, bundle: Bundle, shared: Path
) -> None:
    bundle.add_capability("CAP_SYS_ADMIN")
    bundle.mount("/data", "bind", str(shared), "rbind")
    bundle.command(
        "sh", "-c", "mkdir /data/x && mount -t tmpfs x /data/x && grep -c /data/x /proc/self/mountinfo"
    )

    result = runtime.run(bundle)

    assert result.stdout == "1\n", result.stderr
    assert f"{shared}/x" not in Path("/proc/self/mountinfo").read_text()


def test_with_rshared_a_mount_made_inside_appears_on_the_host(
    runtime: Runtime, bundle: Bundle, shared: Path
) -> None:
    bundle.add_capability("CAP_SYS_ADMIN")
    bundle.mount("/data", "bind", str(shared), "rbind", "rshared")
    bundle.command("sh", "-c", "mkdir /data/x && mount -t tmpfs x /data/x && touch /data/x/made")

    assert runtime.run(bundle).returncode == 0
    assert (shared / "x/made").exists()


def test_with_rslave_a_mount_of_the_host_appears_inside(
    runtime: Runtime, bundle: Bundle, shared: Path
) -> None:
    bundle.mount("/data", "bind", str(shared), "rbind", "rslave")
    bundle.command("sleep", "60")
    runtime.create(bundle)
    runtime("start", "c")

    (shared / "late").mkdir()
    mount("-t", "tmpfs", "tmpfs", str(shared / "late"))
    (shared / "late/file").touch()

    assert runtime("exec", "c", "ls", "/data/late").stdout == "file\n"


def test_a_file_on_a_directory_says_so(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (bundle.rootfs / "dir").mkdir()
    bundle.mount("/dir", "bind", str(tmp_path / "file"), "rbind")

    assert runtime.run(bundle).returncode == 1
    assert runtime.last_error().endswith(": not a directory")
    assert f'error mounting "{tmp_path}/file" to rootfs at "/dir"' in runtime.last_error()


def test_missing_destinations_are_made_also_behind_a_link_to_nowhere(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("content")
    (bundle.rootfs / "etc/resolv.conf").symlink_to("/run/systemd/resolv.conf")
    bundle.mount("/etc/resolv.conf", "bind", str(tmp_path / "file"), "bind")
    bundle.mount("/deep/er/dir", "tmpfs", "tmpfs")
    bundle.command("sh", "-c", "cat /run/systemd/resolv.conf; grep -c /deep/er/dir /proc/self/mountinfo")

    assert runtime.run(bundle).stdout == "content1\n"


def test_a_read_only_root_is_one(runtime: Runtime, bundle: Bundle) -> None:
    bundle.spec["root"]["readonly"] = True
    bundle.command("sh", "-c", "touch /x; touch /dev/shm/y && echo shm")

    result = runtime.run(bundle)

    assert "/x: Read-only file system" in result.stderr
    assert result.stdout == "shm\n"


@pytest.mark.parametrize("namespace", [True, False] if cgroupfs.layout().version == 1 else [True])
def test_only_the_own_cgroup_is_shown(runtime: Runtime, bundle: Bundle, namespace: bool) -> None:
    """On v2 without a cgroup namespace all groups are shown, as by every runtime."""
    if not namespace:
        bundle.spec["linux"]["namespaces"].pop()
    top = "/sys/fs/cgroup/pids" if cgroupfs.layout().version == 1 else "/sys/fs/cgroup"
    bundle.command("sh", "-c", f"cat {top}/pids.max; mkdir {top}/x")

    result = runtime.run(bundle)

    assert result.stdout == "64\n"
    assert "Read-only file system" in result.stderr


@pytest.mark.parametrize("destination", ["/proc/sys", "/proc/self/attr", "/proc/1/x"])
def test_nothing_is_mounted_inside_proc(runtime: Runtime, bundle: Bundle, destination: str) -> None:
    bundle.mount(destination, "bind", str(bundle.path), "rbind")

    assert runtime.run(bundle).returncode == 1
    assert "cannot be mounted because it is inside /proc" in runtime.last_error()


def test_a_directory_is_not_mounted_on_proc(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/proc", "bind", str(bundle.path), "rbind")

    assert runtime.run(bundle).returncode == 1
    assert "not of type proc" in runtime.last_error()


def test_the_kernel_explains_a_wrong_option(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mount("/x", "tmpfs", "tmpfs", "size=many")

    assert runtime.run(bundle).returncode == 1
    assert "size" in runtime.last_error()


def test_devices_are_the_default_ones_and_those_asked_for(runtime: Runtime, bundle: Bundle) -> None:
    bundle.spec["linux"]["devices"] = [
        {
            "path": "/dev/sub/fuse",
            "type": "c",
            "major": 10,
            "minor": 229,
            "fileMode": 0o640,
            "uid": 5,
            "gid": 6,
        }
    ]
    bundle.command(
        "sh",
        "-c",
        "stat -c '%n %t %T %a %u %g' /dev/null /dev/tty /dev/sub/fuse; readlink /dev/ptmx; readlink /dev/fd",
    )

    assert runtime.run(bundle).stdout.splitlines() == [
        "/dev/null 1 3 666 0 0",
        "/dev/tty 5 0 666 0 0",
        "/dev/sub/fuse a e5 640 5 6",
        "pts/ptmx",
        "/proc/self/fd",
    ]
