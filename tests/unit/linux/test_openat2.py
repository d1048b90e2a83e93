"""Opening paths that must not lead out."""

import errno
import os
from pathlib import Path

import pytest

from wherry.linux.openat2 import RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2


@pytest.fixture
def root(tmp_path: Path) -> int:
    (tmp_path / "inside").write_text("inside")
    (tmp_path / "up").symlink_to("../../etc/passwd")
    (tmp_path / "absolute").symlink_to("/inside")
    return os.open(tmp_path, os.O_PATH)


@pytest.mark.parametrize("path", ["/etc/passwd", "../etc/passwd", "up", "absolute"])
def test_a_path_cannot_leave_its_directory(root: int, path: str) -> None:
    with pytest.raises(OSError, match="openat2") as failure:
        openat2(root, path, os.O_RDONLY, resolve=RESOLVE_BENEATH)

    assert failure.value.errno == errno.EXDEV
    assert failure.value.filename == path


def test_a_directory_can_stand_for_the_root(root: int) -> None:
    fd = openat2(root, "absolute", os.O_RDONLY, resolve=RESOLVE_IN_ROOT)

    assert os.read(fd, 10) == b"inside"
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_links_can_be_refused(root: int) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        openat2(root, "absolute", os.O_RDONLY, resolve=RESOLVE_NO_SYMLINKS)


def test_a_file_is_made_with_its_mode(root: int, tmp_path: Path) -> None:
    os.close(openat2(root, "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, RESOLVE_BENEATH))

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
