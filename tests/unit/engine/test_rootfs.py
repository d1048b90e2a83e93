"""Looking files up through layers, as overlayfs would, with links that lead nowhere outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.engine.merged_copy import copy_merged
from wherry.engine.rootfs import LayeredRoot, place_marks
from wherry.files.trees import DIRECTORY


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Upper, middle and bottom, all empty."""
    paths = [tmp_path / name for name in ("upper", "middle", "bottom")]
    for path in paths:
        path.mkdir()
    (tmp_path / "secret").write_text("canary")
    return paths


def read(layers: list[Path], path: str) -> bytes:
    return LayeredRoot(layers).read(path, limit_bytes=100)


def put(layer: Path, path: str, text: str) -> None:
    (layer / path).parent.mkdir(parents=True, exist_ok=True)
    (layer / path).write_text(text)


class TestRead:
    def test_the_topmost_layer_decides(self, layers: list[Path]) -> None:
        put(layers[2], "etc/passwd", "old")
        put(layers[1], "etc/passwd", "new")
        put(layers[0], "etc/other", "x")

        assert read(layers, "etc/passwd") == b"new"
        assert read(layers, "/etc/other") == b"x"

    @pytest.mark.parametrize("target", ["../../secret", "/../../secret", "../secret", "/proc/self/environ"])
    def test_a_link_cannot_lead_outside(self, layers: list[Path], target: str) -> None:
        (layers[0] / "link").symlink_to(target)

        assert read(layers, "link") == b""

    def test_links_start_at_the_root_and_cross_layers(self, layers: list[Path]) -> None:
        put(layers[2], "usr/etc/passwd", "found")
        (layers[0] / "etc").symlink_to("/usr/etc")
        (layers[1] / "up").symlink_to("usr/../usr/etc/passwd")

        assert read(layers, "etc/passwd") == b"found"
        assert read(layers, "up") == b"found"

    def test_a_loop_of_links_is_an_error(self, layers: list[Path]) -> None:
        (layers[0] / "a").symlink_to("b")
        (layers[0] / "b").symlink_to("a")

        with pytest.raises(OSError, match="symbolic links"):
            read(layers, "a")

    def test_a_file_hides_a_directory_below_it(self, layers: list[Path]) -> None:
        put(layers[2], "etc/passwd", "hidden")
        (layers[0] / "etc").write_text("a file")

        assert read(layers, "etc/passwd") == b""

    def test_what_is_no_file_is_empty(self, layers: list[Path]) -> None:
        (layers[0] / "etc").mkdir()
        os.mkfifo(layers[0] / "pipe")

        assert read(layers, "etc") == b""
        assert read(layers, "pipe") == b""
        assert read(layers, "gone") == b""

    def test_only_so_much_is_read(self, layers: list[Path]) -> None:
        put(layers[0], "big", "x" * 1000)

        assert len(read(layers, "big")) == 100

    def test_no_descriptor_is_left_open(self, layers: list[Path]) -> None:
        put(layers[2], "a/b/c", "x")
        before = len(os.listdir("/proc/self/fd"))

        read(layers, "a/b/../b/c")
        read(layers, "a/nope/c")

        assert len(os.listdir("/proc/self/fd")) == before


class TestMarks:
    def test_they_are_made_where_the_image_has_etc(self, layers: list[Path]) -> None:
        (layers[1] / "etc").mkdir(mode=0o750)
        (layers[1] / "etc").chmod(0o750)

        place_marks(layers[0], layers[1:])

        assert (layers[0] / ".dockerenv").is_file()
        assert os.readlink(layers[0] / "etc" / "mtab") == "/proc/mounts"
        assert (layers[0] / "etc").stat().st_mode & 0o7777 == 0o750

    @pytest.mark.parametrize("kind", ["absent", "file", "link", "has-mtab"])
    def test_the_image_is_left_alone_otherwise(self, layers: list[Path], kind: str) -> None:
        if kind == "file":
            (layers[1] / "etc").write_text("")
        elif kind == "link":
            (layers[1] / "etc").symlink_to("/usr")
            (layers[1] / "usr").mkdir()
        elif kind == "has-mtab":
            (layers[1] / "etc").mkdir()
            (layers[1] / "etc" / "mtab").symlink_to("nowhere")

        place_marks(layers[0], layers[1:])

        assert [path.name for path in layers[0].iterdir()] == [".dockerenv"]


class TestCopy:
    def test_the_merge_is_copied_with_its_attributes(self, layers: list[Path], tmp_path: Path) -> None:
        put(layers[2], "d/old", "bottom")
        put(layers[2], "d/sub/a", "a")
        put(layers[0], "d/old", "top")
        put(layers[0], "d/sub/b", "b")
        (layers[0] / "d" / "link").symlink_to("/outside")
        (layers[0] / "d").chmod(0o700)
        target = tmp_path / "target"
        target.mkdir()
        fd = os.open(target, DIRECTORY)

        with LayeredRoot(layers).directories("d") as found:
            copy_merged(found, fd)
        os.close(fd)

        assert (target / "old").read_text() == "top"
        assert sorted(path.name for path in (target / "sub").iterdir()) == ["a", "b"]
        assert os.readlink(target / "link") == "/outside"
        assert target.stat().st_mode & 0o7777 == 0o700
