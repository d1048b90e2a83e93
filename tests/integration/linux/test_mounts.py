"""Mount calls in a mount namespace of their own."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.linux.forked import run_forked

from wherry.linux import libc, mount
from wherry.linux.namespaces import CLONE_NEWNS, CLONE_NEWPID

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


def in_mount_namespace(function: Callable[[], object]) -> str:
    def entered() -> object:
        mount.mount("none", "/", "none", mount.MS_REC | mount.MS_PRIVATE)
        return function()

    return run_forked(entered, CLONE_NEWNS)


def new_tmpfs(**options: str) -> int:
    context = mount.fsopen("tmpfs")
    for key, value in options.items():
        mount.fsconfig_set_string(context, key, value)
    mount.fsconfig_create(context)
    detached = mount.fsmount(context)
    os.close(context)
    return detached


def test_a_detached_filesystem_is_attached_where_told(tmp_path: Path) -> None:
    def attach() -> object:
        detached = new_tmpfs(mode="0711", size="65536")
        assert mount.mountinfo()[-1].mountpoint != str(tmp_path)
        mount.move_mount(detached, "", libc.AT_FDCWD, str(tmp_path), mount.MOVE_MOUNT_F_EMPTY_PATH)
        last = mount.mountinfo()[-1]
        assert last.mountpoint == str(tmp_path)
        assert not os.get_inheritable(detached)
        return f"{last.fstype} {os.stat(tmp_path).st_mode & 0o777:o}"

    assert in_mount_namespace(attach) == "tmpfs 711"


def test_the_kernels_own_words_about_a_bad_option_can_be_read() -> None:
    context = mount.fsopen("tmpfs")

    with pytest.raises(OSError, match="fsconfig"):
        mount.fsconfig_set_string(context, "mode", "x")

    assert any("mode" in message for message in mount.fs_messages(context))
    assert mount.fs_messages(context) == []
    os.close(context)


def test_a_detached_copy_is_made_read_only_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "under").mkdir()

    def copy() -> object:
        mount.mount("inner", str(tmp_path / "under"), "tmpfs")
        flags = mount.OPEN_TREE_CLONE | mount.AT_RECURSIVE
        tree = mount.open_tree(str(tmp_path), flags)
        mount.mount_setattr(tree, "", mount.AT_RECURSIVE, attr_set=mount.MOUNT_ATTR_RDONLY)
        mount.move_mount(tree, "", libc.AT_FDCWD, "/mnt", mount.MOVE_MOUNT_F_EMPTY_PATH)
        for path in ("/mnt/x", "/mnt/under/x"):
            with pytest.raises(OSError, match="Read-only") as failure:
                os.mkdir(path)
            assert failure.value.errno == errno.EROFS
        os.mkdir(tmp_path / "under" / "x")  # the original is as it was
        return "read-only"

    assert in_mount_namespace(copy) == "read-only"


def test_an_overlay_is_made_of_descriptors_or_paths(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("lower")

    def overlay() -> object:
        mount.mount("scratch", str(tmp_path / "upper"), "tmpfs")  # overlay refuses some root filesystems
        os.mkdir(tmp_path / "upper" / "up")
        os.mkdir(tmp_path / "upper" / "work")
        context = mount.fsopen("overlay")
        mount.fsconfig_set_string(context, "lowerdir", str(tmp_path / "lower"))
        mount.fsconfig_set_string(context, "upperdir", str(tmp_path / "upper" / "up"))
        mount.fsconfig_set_string(context, "workdir", str(tmp_path / "upper" / "work"))
        mount.fsconfig_create(context)
        merged = mount.fsmount(context, mount.MOUNT_ATTR_NODEV)
        fd = os.open("file", os.O_RDWR, dir_fd=merged)
        os.pwrite(fd, b"UPPER", 0)
        return (tmp_path / "lower" / "file").read_text() + (tmp_path / "upper" / "up" / "file").read_text()

    assert in_mount_namespace(overlay) == "lowerUPPER"


def test_the_root_is_exchanged_and_the_old_one_gone(tmp_path: Path) -> None:
    def pivot() -> object:
        mount.mount("root", str(tmp_path), "tmpfs")
        os.chdir(tmp_path)
        mount.pivot_root(".", ".")
        mount.umount(".", mount.MNT_DETACH)
        os.chdir("/")
        return os.listdir("/")

    assert run_forked(lambda: in_mount_namespace(pivot), CLONE_NEWPID) == "[]"


def test_failures_name_the_path() -> None:
    with pytest.raises(OSError, match="mount: No such file") as failure:
        mount.mount("none", "/nowhere", "tmpfs")

    assert failure.value.errno == errno.ENOENT
    assert failure.value.filename == "/nowhere"
