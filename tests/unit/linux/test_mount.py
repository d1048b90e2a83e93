"""Reading mountinfo, and what mount refuses before it asks the kernel."""

import errno

import pytest

from wherry.linux import mount

LINE = (
    r"36 35 98:0 /mnt1 /mnt2/with\040blank\134 rw,noatime shared:1 master:2 - ext3 /dev/root\011x "
    "rw,errors=continue"
)


def test_a_line_of_mountinfo_is_taken_apart() -> None:
    (each,) = mount.parse_mountinfo(LINE + "\n")

    assert (each.id, each.parent, each.device, each.root) == (36, 35, (98, 0), "/mnt1")
    assert each.mountpoint == "/mnt2/with blank\\"
    assert each.options == ("rw", "noatime")
    assert each.propagation == ("shared:1", "master:2")
    assert (each.fstype, each.source) == ("ext3", "/dev/root\tx")
    assert each.super_options == ("rw", "errors=continue")


def test_a_private_mount_has_no_propagation() -> None:
    (each,) = mount.parse_mountinfo("22 27 0:21 / /proc rw - proc proc rw")

    assert each.propagation == ()


@pytest.mark.parametrize("text", ["x", "1 2 3:4 / /", "1 2 3:4 / / rw ext4 a b", "x 2 3:4 / / rw - a b c"])
def test_what_is_no_mountinfo_is_refused(text: str) -> None:
    with pytest.raises(OSError, match="mountinfo") as failure:
        mount.parse_mountinfo(text)

    assert failure.value.errno == errno.EINVAL


def test_our_own_mounts_can_be_read() -> None:
    assert "/proc" in [each.mountpoint for each in mount.mountinfo()]


def test_a_path_with_a_nul_is_refused_rather_than_cut() -> None:
    with pytest.raises(OSError, match="null byte"):
        mount.umount("/a\0/b")


def test_options_that_the_kernel_would_cut_are_refused() -> None:
    with pytest.raises(OSError, match="exceed a page"):
        mount.mount("overlay", "/nowhere", "overlay", 0, "lowerdir=" + "x" * 5000)
