"""A real distribution's files, against GNU tar in both directions."""

import io
import os
import subprocess
from pathlib import Path

import pytest
from tests.integration.storage.conftest import tree

from wherry.files.tar import TarWriter, extract_layer, write_tree

SOURCES = ("/usr/share/perl5", "/usr/sbin")


@pytest.fixture(scope="module")
def gnu_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of some thousand files as GNU tar writes it, with everything it can tell."""
    root = tmp_path_factory.mktemp("source")
    subprocess.run(["cp", "-a", *SOURCES, root], check=True)
    (root / "odd").mkdir(mode=0o2750)
    (root / "odd" / ("n" * 200)).write_text("long name")
    (root / "odd" / "ü\n\t\\ name").write_text("odd name")
    os.link(root / "odd" / ("n" * 200), root / "odd/hard")
    (root / "odd/link").symlink_to("t/" * 150)
    os.mkfifo(root / "odd/fifo")
    os.mknod(root / "odd/null", 0o20666, os.makedev(1, 3))
    with (root / "odd/holes").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    os.setxattr(root / "odd/holes", "user.note", b"kept")
    os.chown(root / "odd/hard", 12345, 54321)
    return root


def extract(archive: bytes, root: Path) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        extract_layer(io.BytesIO(archive), fd, whiteouts="plain")
    finally:
        os.close(fd)


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_what_gnu_tar_packs_is_unpacked_alike(gnu_archive: Path, tmp_path: Path, form: str) -> None:
    options = ["--xattrs", "--sparse"] if form == "pax" else []
    archive = subprocess.run(
        ["tar", "-c", f"--format={form}", *options, "-C", gnu_archive, "."], check=True, capture_output=True
    ).stdout
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    subprocess.run(
        ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "-C", theirs], input=archive, check=True
    )

    extract(archive, ours)

    assert tree(ours) == tree(theirs)


def test_what_is_packed_here_is_unpacked_alike_by_gnu_tar(gnu_archive: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    writer = TarWriter(stream)
    fd = os.open(gnu_archive, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_tree(fd, writer, include_root=True)
    finally:
        os.close(fd)
    writer.close()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()

    unpacked = subprocess.run(
        ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "-C", theirs],
        input=stream.getvalue(),
        capture_output=True,
    )
    extract(stream.getvalue(), ours)

    assert (unpacked.returncode, unpacked.stderr) == (0, b"")
    assert tree(theirs) == tree(gnu_archive)
    assert tree(ours) == tree(gnu_archive)
