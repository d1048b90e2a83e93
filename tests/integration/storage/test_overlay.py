"""Layers in overlay directories, as the kernel shows them."""

import io
import os
import stat
from pathlib import Path

import pytest
from tests.fakes.archives import write
from tests.fakes.images import layer_tar
from tests.integration.storage.conftest import Disk, tree

from wherry.core.diff import Change, apply, changes, write_diff
from wherry.core.snapshots import DEPTH_LIMIT, Snapshotter
from wherry.files.tar import Entry
from wherry.linux.mount import MNT_DETACH, umount
from wherry.linux.mount import mount as mount_overlay

BASE = {
    "etc/": "",
    "etc/hostname": "base",
    "etc/sub/": "",
    "etc/sub/deep": "base",
    "var/": "",
    "var/a": "base",
    "var/b": "base",
    "gone": "base",
    "replaced/": "",
    "replaced/below": "base",
}


def apply_tar(store: Snapshotter, name: str, parent: str | None, tar: bytes) -> None:
    store.prepare(f"making {name}", parent)
    apply(store, f"making {name}", io.BytesIO(tar))
    store.commit(name, f"making {name}")


def names(root: Path) -> list[str]:
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()
    )


def shown(disk: Disk, driver: str, key: str) -> list[str]:
    store = disk.drivers[driver]
    with disk.mounted(store.view(f"view of {key}", key)) as root:
        found = names(root)
    store.remove(f"view of {key}")
    return found


LAYERS: dict[str, tuple[dict[str, str], list[str]]] = {
    "a file goes": ({".wh.gone": ""}, ["gone"]),
    "a directory goes": ({".wh.etc": ""}, ["etc/hostname", "etc/sub/deep"]),
    "a file in a directory goes": ({"etc/sub/.wh.deep": ""}, ["etc/sub/deep"]),
    "what was never there goes": ({"etc/.wh.nothing": "", ".wh.never": ""}, []),
    "a directory hides what is below": ({"var/": "", "var/.wh..wh..opq": ""}, ["var/a", "var/b"]),
    "the mark needs no entry of the directory": ({"var/.wh..wh..opq": ""}, ["var/a", "var/b"]),
    "a directory comes back empty": ({".wh.var": "", "var/": ""}, ["var/a", "var/b"]),
    "a directory comes back by what is in it": (
        {".wh.var": "", "var/new": "x"},
        ["var/a", "var/b", "+var/new"],
    ),
    "the same, told afterwards": (
        {"var/": "", "var/new": "x", ".wh.var": ""},
        ["var/a", "var/b", "+var/new"],
    ),
    "a file takes the place of a directory": ({"replaced": "file"}, ["replaced/below", "+replaced"]),
    "a directory takes the place of a file": ({"gone/": "", "gone/new": "x"}, ["gone", "+gone/new"]),
    "a file and then a directory": (
        {"replaced": "file", "replaced/": "", "replaced/new": "x"},
        ["replaced/below", "+replaced/new"],
    ),
    "the whole root goes": (
        {".wh..wh..opq": "", "new": "x"},
        ["etc/hostname", "etc/sub/deep", "var/a", "var/b", "gone", "replaced/below", "unrelated", "+new"],
    ),
}


@pytest.mark.parametrize("driver", ["overlayfs", "native"])
@pytest.mark.parametrize("case", LAYERS)
def test_removals_mean_the_same_in_both_drivers(disk: Disk, driver: str, case: str) -> None:
    files, difference = LAYERS[case]
    store = disk.drivers[driver]
    expected = {name for name in BASE if not name.endswith("/")} | {"unrelated"}
    for change in difference:
        if change.startswith("+"):
            expected.add(change[1:])
        else:
            expected.discard(change)
    apply_tar(store, "base", None, layer_tar(BASE))
    apply_tar(store, "other", "base", layer_tar({"unrelated": ""}))

    apply_tar(store, "top", "other", layer_tar(files))

    assert shown(disk, driver, "top") == sorted(expected)


def test_a_directory_that_a_layer_does_not_describe_is_as_below(disk: Disk) -> None:
    store = disk.drivers["overlayfs"]
    tmp = Entry(b"tmp/", b"5", mode=0o1777, uid=7, gid=8, mtime_ns=1_000_000_000_123)
    tmp.xattrs = {"user.note": b"below"}
    apply_tar(store, "base", None, write([(tmp, b""), (Entry(b"tmp/x/", b"5", mode=0o700), b"")]))
    apply_tar(store, "middle", "base", layer_tar({"unrelated": ""}))

    apply_tar(store, "top", "middle", layer_tar({"tmp/x/new": "x"}))

    with disk.mounted(store.view("view", "top")) as root:
        status = (root / "tmp").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o1777, 7, 8)
        assert status.st_mtime_ns == tmp.mtime_ns
        assert stat.S_IMODE((root / "tmp/x").stat().st_mode) == 0o700
        assert os.getxattr(root / "tmp", "user.note") == b"below"


def test_what_overlayfs_keeps_for_itself_does_not_come_from_a_layer(disk: Disk) -> None:
    store = disk.drivers["overlayfs"]
    evil = Entry(b"d/", b"5", mode=0o755)
    evil.xattrs = {
        "trusted.overlay.opaque": b"y",
        "trusted.overlay.redirect": b"/etc",
        "trusted.overlay.metacopy": b"",
        "user.overlay.opaque": b"y",
        "security.selinux": b"system_u",
        "trusted.kept": b"1",
    }

    apply_tar(store, "base", None, write([(evil, b"")]))

    assert os.listxattr(store.upper("base") / "d") == ["trusted.kept"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"\x01\0\0\x02" + b"\0\x20\0\0" + bytes(12), True),
        (b"\x01\0\0\x03" + b"\0\x20\0\0" + bytes(12) + bytes(4), True),
        (b"\x01\0\0\x03" + b"\0\x20\0\0" + bytes(12) + b"\xe8\x03\0\0", False),
    ],
)
def test_file_capabilities_are_kept_unless_they_are_of_another_user_namespace(
    disk: Disk, value: bytes, kept: bool
) -> None:
    file = Entry(b"ping", mode=0o755, uid=5, gid=6)
    file.xattrs = {"security.capability": value}
    store = disk.drivers["overlayfs"]

    apply_tar(store, "base", None, write([(file, b"")]))

    assert ("security.capability" in os.listxattr(store.upper("base") / "ping")) == kept


def test_setuid_survives_the_change_of_owner(disk: Disk) -> None:
    store = disk.drivers["overlayfs"]
    items = [
        (Entry(b"su", mode=0o4755, uid=1000, gid=1000), b"x"),
        (Entry(b"shared/", b"5", mode=0o2775, uid=0, gid=50), b""),
        (Entry(b"shared/file", mode=0o644), b""),
    ]

    apply_tar(store, "base", None, write(items))

    root = store.upper("base")
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o4755
    assert stat.S_IMODE((root / "shared").stat().st_mode) == 0o2775
    assert (root / "shared/file").stat().st_gid == 0


def test_devices_are_made_with_their_numbers_and_owners(disk: Disk) -> None:
    store = disk.drivers["overlayfs"]
    items = [
        (Entry(b"dev/null", b"3", mode=0o666, device=(1, 3)), b""),
        (Entry(b"dev/sda", b"4", mode=0o660, gid=6, device=(8, 0x12345)), b""),
        (Entry(b"dev/pipe", b"6", mode=0o4600, uid=9), b""),
    ]

    apply_tar(store, "base", None, write(items))

    null, sda, pipe = ((store.upper("base") / "dev" / name).lstat() for name in ("null", "sda", "pipe"))
    assert (stat.S_ISCHR(null.st_mode), null.st_rdev, stat.S_IMODE(null.st_mode)) == (
        True,
        os.makedev(1, 3),
        0o666,
    )
    assert (stat.S_ISBLK(sda.st_mode), sda.st_rdev, sda.st_gid) == (True, os.makedev(8, 0x12345), 6)
    assert (stat.S_ISFIFO(pipe.st_mode), stat.S_IMODE(pipe.st_mode), pipe.st_uid) == (True, 0o4600, 9)


def change_tree(root: Path) -> None:
    """What a container does: add, change, remove, replace."""
    (root / "new").mkdir()
    (root / "new/file").write_text("new")
    os.link(root / "new/file", root / "new/hard")
    (root / "etc/hostname").write_text("changed")
    (root / "gone").unlink()
    (root / "var/a").unlink()
    (root / "replaced/below").unlink()
    (root / "replaced").rmdir()
    (root / "replaced").mkdir(mode=0o711)
    (root / "replaced/other").symlink_to("../new")
    os.mknod(root / "new/device", 0o600 | stat.S_IFCHR, os.makedev(1, 7))
    os.chown(root / "etc/sub/deep", 3, 4)


EXPECTED = [
    ("modified", "/etc"),
    ("modified", "/etc/hostname"),
    ("modified", "/etc/sub"),
    ("modified", "/etc/sub/deep"),
    ("deleted", "/gone"),
    ("added", "/new"),
    ("added", "/new/device"),
    ("added", "/new/file"),
    ("added", "/new/hard"),
    ("modified", "/replaced"),
    ("added", "/replaced/other"),
    ("modified", "/var"),
    ("deleted", "/var/a"),
]


def test_what_a_container_changed_is_told(disk: Disk) -> None:
    store = disk.drivers["overlayfs"]
    apply_tar(store, "base", None, layer_tar(BASE))
    with disk.mounted(store.prepare("container", "base")) as root:
        change_tree(root)

    assert list(changes(store, "container")) == [Change(kind, path) for kind, path in EXPECTED]


def test_whole_copies_tell_the_same(disk: Disk) -> None:
    store = disk.drivers["native"]
    apply_tar(store, "base", None, layer_tar(BASE))
    with disk.mounted(store.prepare("container", "base")) as root:
        change_tree(root)

    found = [(change.kind, change.path) for change in changes(store, "container")]

    # Where an overlay only says that a directory was made anew, a comparison sees what is missing in it.
    assert found == sorted([*EXPECTED, ("deleted", "/replaced/below")], key=lambda item: item[1])


@pytest.mark.parametrize("driver", ["overlayfs", "native"])
def test_a_diff_applied_again_gives_the_same_file_system(disk: Disk, driver: str) -> None:
    store = disk.drivers[driver]
    apply_tar(store, "base", None, layer_tar(BASE))
    with disk.mounted(store.prepare("container", "base")) as root:
        change_tree(root)
        before = tree(root)
    first = io.BytesIO()
    write_diff(store, "container", first)

    store.prepare("again", "base")
    apply(store, "again", io.BytesIO(first.getvalue()))

    with disk.mounted(store.mounts("again")) as root:
        after = tree(root)
    second = io.BytesIO()
    write_diff(store, "again", second)
    # The root's own time is not a part of a layer.
    assert after[1:] == before[1:]
    assert second.getvalue() == first.getvalue()


@pytest.mark.parametrize("driver", ["overlayfs", "native"])
def test_what_was_written_to_a_volatile_mount_is_there_at_the_next_one(disk: Disk, driver: str) -> None:
    store = disk.drivers[driver]
    apply_tar(store, "base", None, layer_tar(BASE))
    store.prepare("container", "base")

    for number in range(3):
        with disk.mounted(store.mounts("container", volatile=True)) as root:
            assert sorted(root.glob("new-*")) == [root / f"new-{each}" for each in range(number)]
            (root / f"new-{number}").touch()


def test_a_volatile_mount_of_an_overlay_syncs_nothing(disk: Disk) -> None:
    store = disk.drivers["overlayfs"]
    apply_tar(store, "base", None, layer_tar(BASE))
    store.prepare("container", "base")

    (writable,) = store.mounts("container", volatile=True)
    (view,) = store.view("view", "base")

    assert "volatile" in writable.options
    assert "volatile" not in store.mounts("container")[0].options
    assert store.mounts("view", volatile=True) == [view]


def test_127_layers_are_one_file_system(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    store = disk.drivers["overlayfs"]
    parent = None
    for number in range(DEPTH_LIMIT - 1):
        name = f"layer {number}"
        apply_tar(store, name, parent, layer_tar({f"file-{number}": name, "top": name}))
        parent = name
    (mount,) = store.prepare("container", parent)
    assert mount.options[3].count(":") == DEPTH_LIMIT - 2

    # From the store's directory the names are short, which is how a long chain fits into a page.
    place = disk.root / "mnt"
    place.mkdir()
    prefix = f"{store.upper('container').parent.parent}/"
    options = ",".join(mount.options).replace(prefix, "")
    assert len(options) < 4096
    monkeypatch.chdir(prefix)
    mount_overlay("overlay", str(place), "overlay", 0, options)
    try:
        assert len(os.listdir(place)) == DEPTH_LIMIT
        assert (place / "top").read_text() == f"layer {DEPTH_LIMIT - 2}"
    finally:
        umount(str(place), MNT_DETACH)
