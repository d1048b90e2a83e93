"""Extraction without privileges: what a tree becomes, and that nothing leaves the root."""

import io
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.archives import ZEROS, header, member, pax, write

from wherry.errors import WherryError
from wherry.files.tar import (
    Entry,
    ExtractionFailed,
    MalformedArchive,
    TarWriter,
    directories,
    extract_layer,
    write_tree,
)
from wherry.files.tar.directories import HELD_LIMIT
from wherry.files.trees import empty_directory, walk


class Place:
    """A root with something outside that must stay as it is."""

    def __init__(self, path: Path) -> None:
        self.canary = path / "canary"
        self.canary.mkdir()
        (self.canary / "file").write_text("outside")
        self.canary.chmod(0o750)
        self.path = path / "root"
        self.path.mkdir()
        self.before = self.outside()

    def extract(self, archive: bytes, whiteouts: str = "plain") -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            extract_layer(io.BytesIO(archive + ZEROS), fd, whiteouts=whiteouts)  # type: ignore[arg-type]
        finally:
            os.close(fd)

    def pack(self) -> bytes:
        stream = io.BytesIO()
        writer = TarWriter(stream)
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            write_tree(fd, writer)
        finally:
            os.close(fd)
        writer.close()
        return stream.getvalue()

    def outside(self) -> list[tuple[object, ...]]:
        facts: list[tuple[object, ...]] = []
        for path in [self.canary, *self.canary.rglob("*")]:
            status = path.lstat()
            facts.append(
                (path, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_nlink)
            )
        return [*facts, tuple(sorted(os.listdir(self.canary.parent)))]

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    descriptors = len(os.listdir("/proc/self/fd"))
    yield place
    assert place.outside() == place.before
    assert len(os.listdir("/proc/self/fd")) == descriptors


def owned(entry: Entry) -> Entry:
    entry.uid, entry.gid = os.geteuid(), os.getegid()
    return entry


def entry(name: str, kind: bytes = b"0", link: str = "", mode: int = 0o644) -> Entry:
    return owned(Entry(name.encode(), kind, link=link.encode(), mode=mode))


def archive(*items: Entry | tuple[Entry, bytes]) -> bytes:
    return write(item if isinstance(item, tuple) else (item, b"") for item in items)[:-1024]


class TestTree:
    def test_files_get_their_bytes_modes_and_times(self, place: Place) -> None:
        file = entry("d/file", mode=0o4751)
        file.mtime_ns, file.atime_ns = 1_600_000_000_123_456_789, 1_500_000_000_000_000_001

        place.extract(archive(entry("d/", b"5", mode=0o1777), (file, b"hello")))

        status = (place.path / "d/file").stat()
        assert (place.path / "d/file").read_bytes() == b"hello"
        assert stat.S_IMODE(status.st_mode) == 0o4751
        assert (status.st_mtime_ns, status.st_atime_ns) == (file.mtime_ns, file.atime_ns)
        assert stat.S_IMODE((place.path / "d").stat().st_mode) == 0o1777

    def test_a_directory_keeps_its_time_although_it_is_filled_later(self, place: Place) -> None:
        directory = entry("d/", b"5")
        directory.mtime_ns = 1_000_000_000 * 10**9

        place.extract(archive(directory, entry("d/a"), entry("d/sub/b")))

        assert (place.path / "d").stat().st_mtime_ns == directory.mtime_ns

    @pytest.mark.parametrize(("whiteouts", "kept"), [("native", True), ("plain", False)])
    def test_what_a_layer_adds_does_not_change_the_time_of_a_directory_below(
        self, place: Place, whiteouts: str, kept: bool
    ) -> None:
        (place.path / "d").mkdir()
        for path in (place.path / "d", place.path):
            os.utime(path, ns=(5, 6))

        place.extract(archive(entry("d/file"), entry("top")), whiteouts)

        times = {(place.path / "d").stat().st_mtime_ns, place.path.stat().st_mtime_ns}
        assert (times == {6}) == kept

    def test_a_directory_that_nobody_may_write_is_filled(self, place: Place) -> None:
        place.extract(archive(entry("d/", b"5", mode=0o555), entry("d/file")))

        assert place.names() == ["d", "d/file"]
        assert stat.S_IMODE((place.path / "d").stat().st_mode) == 0o555

    def test_names_are_taken_from_the_root_however_they_are_spelled(self, place: Place) -> None:
        place.extract(archive(entry("/abs"), entry("./dot"), entry("a//b/./c"), entry("./"[:-1] + "/", b"5")))

        assert place.names() == ["a", "a/b", "a/b/c", "abs", "dot"]

    def test_hard_links_share_the_file(self, place: Place) -> None:
        place.extract(
            archive((entry("a"), b"x"), entry("d/b", b"1", link="/a"), entry("c", b"1", link="d/b"))
        )

        assert (place.path / "a").stat().st_nlink == 3

    def test_the_last_entry_of_a_name_wins(self, place: Place) -> None:
        place.extract(
            archive(
                (entry("a"), b"first"),
                (entry("a"), b"last"),
                entry("d/", b"5"),
                entry("d/x"),
                (entry("d"), b"file"),
                entry("e"),
                entry("e/", b"5"),
                entry("e/x"),
            )
        )

        assert place.names() == ["a", "d", "e", "e/x"]
        assert (place.path / "a").read_bytes() == b"last"

    def test_holes_stay_holes(self, place: Place) -> None:
        sparse = pax((b"GNU.sparse.size", b"1073741824"), (b"GNU.sparse.map", b"1048576,4"))

        place.extract(
            sparse + member(b"s", b"data", uid=b"%07o\0" % os.geteuid(), gid=b"%07o\0" % os.getegid())
        )

        with (place.path / "s").open("rb") as file:
            file.seek(1 << 20)
            assert file.read(8) == b"data\0\0\0\0"
        status = (place.path / "s").stat()
        assert status.st_size == 1 << 30
        assert status.st_blocks * 512 < 1 << 20

    def test_extended_attributes_of_users_are_kept(self, place: Place) -> None:
        file = entry("a")
        file.xattrs = {"user.note": b"kept", "user.overlay.opaque": b"y", "security.selinux": b"label"}

        place.extract(archive(file))

        assert os.listxattr(place.path / "a") == ["user.note"]

    def test_a_path_of_two_thousand_directories_needs_few_descriptors(self, place: Place) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + HELD_LIMIT + 20, hard))
        fd = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            place.extract(archive(entry("d/" * 1900 + "file"), entry("other")))

            assert sum(1 for _ in walk(fd)) == 1902
        finally:
            empty_directory(fd)  # deeper than others can remove
            os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_however_many_directories_there_are_few_are_remembered(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(directories, "PENDING_LIMIT", 3)
        items = [entry(f"{name}/", b"5", mode=0o500 + number) for number, name in enumerate("abcdefgh")]
        for number, item in enumerate(items):
            item.mtime_ns = number * 10**9
        late = [entry(f"{name}/late") for name in "abcdefgh"]

        place.extract(archive(*items, *late), "native")

        for number, name in enumerate("abcdefgh"):
            status = (place.path / name).stat()
            assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o500 + number, number * 10**9)

    def test_what_was_unpacked_packs_to_the_same_bytes(
        self, place: Place, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        place.extract(
            archive(
                entry("d/", b"5", mode=0o700),
                (entry("d/f", mode=0o600), b"data" * 1000),
                entry("d/fifo", b"6", mode=0o640),
                entry("e", b"2", link="d/f", mode=0o777),
                entry("f", b"1", link="d/f", mode=0o600),
            )
        )
        packed = place.pack()
        other = Place(tmp_path_factory.mktemp("again"))

        other.extract(packed[:-1024])

        assert other.pack() == packed


class TestHostile:
    @pytest.mark.parametrize("kind", [b"0", b"1", b"2", b"5", b"6"])
    @pytest.mark.parametrize("name", ["../canary/new", "/../canary/new", "a/../../canary/new", "..", "a/.."])
    def test_a_name_that_climbs_is_refused(self, place: Place, name: str, kind: bytes) -> None:
        with pytest.raises(MalformedArchive, match="leads out"):
            place.extract(archive(entry(name, kind, link="x" if kind in b"12" else "")))

    @pytest.mark.parametrize("target", ["../canary", "/canary", "CANARY", "x/../../../canary"])
    def test_entries_behind_a_link_stay_inside(self, place: Place, target: str) -> None:
        target = str(place.canary) if target == "CANARY" else target

        try:
            place.extract(archive(entry("l", b"2", link=target), entry("l/new"), entry("l/d/", b"5")))
        except WherryError:
            return

        assert not (place.canary / "new").exists()

    def test_links_inside_the_root_are_followed_for_directories(self, place: Place) -> None:
        place.extract(
            archive(
                entry("usr/lib/", b"5"),
                entry("lib", b"2", link="usr/lib"),
                entry("abs", b"2", link="/usr/../usr/lib"),
                entry("lib/a"),
                entry("abs/b"),
                entry("lib/c/d"),
            )
        )

        assert (place.path / "usr/lib/a").exists()
        assert (place.path / "usr/lib/b").exists()
        assert (place.path / "usr/lib/c/d").exists()

    def test_a_chain_of_links_without_end_is_refused(self, place: Place) -> None:
        with pytest.raises(ExtractionFailed):
            place.extract(archive(entry("a", b"2", link="b"), entry("b", b"2", link="a"), entry("a/x")))

    def test_a_directory_entry_replaces_a_link_instead_of_changing_its_target(self, place: Place) -> None:
        place.extract(archive(entry("d", b"2", link=str(place.canary)), entry("d/", b"5", mode=0o777)))

        assert not (place.path / "d").is_symlink()

    def test_a_file_replaces_a_link_instead_of_writing_through_it(self, place: Place) -> None:
        place.extract(archive(entry("f", b"2", link=str(place.canary / "file")), (entry("f"), b"mine")))

        assert (place.path / "f").read_bytes() == b"mine"

    def test_a_hard_link_to_a_link_is_the_link(self, place: Place) -> None:
        place.extract(archive(entry("l", b"2", link=str(place.canary / "file")), entry("h", b"1", link="l")))

        assert (place.path / "h").is_symlink()

    @pytest.mark.parametrize("link", ["../canary/file", "CANARY/file", "later", "d", "h", ""])
    def test_a_hard_link_to_what_is_not_in_the_layer_is_refused(self, place: Place, link: str) -> None:
        link = link.replace("CANARY", str(place.canary))
        with pytest.raises(WherryError):
            place.extract(
                archive(entry("d/", b"5"))
                + header(b"h", b"1", link=link.encode(), uid=b"%07o\0" % os.geteuid())
                + archive(entry("later"))
            )

    @pytest.mark.parametrize("name", [b".", b"./", b"/", b"./.", b"//"])
    @pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"6"])
    def test_the_root_can_only_be_a_directory(self, place: Place, name: bytes, kind: bytes) -> None:
        with pytest.raises(WherryError):
            place.extract(header(name, kind, link=b"x"))

    def test_the_mark_of_overlayfs_does_not_come_from_outside(self, place: Place) -> None:
        with pytest.raises(ExtractionFailed, match="0:0"):
            place.extract(archive(entry("etc", b"3")))

    def test_an_entry_below_a_file_is_refused(self, place: Place) -> None:
        with pytest.raises(ExtractionFailed, match="not a directory"):
            place.extract(archive(entry("a"), entry("a/b")))

    @pytest.mark.parametrize("name", ["n" * 256, "d/" * 2047])
    def test_a_name_that_the_file_system_cannot_hold_is_a_typed_error(self, place: Place, name: str) -> None:
        with pytest.raises(WherryError):
            place.extract(archive(entry(name + "x" * 200)))


class TestRemovals:
    """Whiteouts carried out in a whole tree: only what layers below hold goes."""

    def below(self, place: Place) -> None:
        for name in ("a", "d/x", "d/y", "d/sub/z", "e/f"):
            (place.path / name).parent.mkdir(parents=True, exist_ok=True)
            (place.path / name).write_text("below")

    def test_a_whiteout_removes_the_name(self, place: Place) -> None:
        self.below(place)

        place.extract(
            archive(entry(".wh.a"), entry("d/.wh.sub"), entry(".wh.e"), entry(".wh.nothing")), "native"
        )

        assert place.names() == ["d", "d/x", "d/y"]

    @pytest.mark.parametrize("first", [True, False])
    def test_an_opaque_directory_keeps_only_what_its_layer_holds(self, place: Place, first: bool) -> None:
        self.below(place)
        items = [entry("d/x"), entry("d/sub/new")]
        mark = entry("d/.wh..wh..opq")

        place.extract(archive(*([mark, *items] if first else [*items, mark])), "native")

        assert place.names() == ["a", "d", "d/sub", "d/sub/new", "d/x", "e", "e/f"]
        assert (place.path / "d/x").read_bytes() == b""

    def test_a_whiteout_does_not_remove_what_its_own_layer_holds(self, place: Place) -> None:
        self.below(place)

        place.extract(archive((entry("a"), b"new"), entry(".wh.a"), entry("d/new"), entry(".wh.d")), "native")

        assert place.names() == ["a", "d", "d/new", "e", "e/f"]
        assert (place.path / "a").read_bytes() == b"new"

    @pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh..."])
    def test_a_whiteout_of_no_name_is_refused(self, place: Place, name: str) -> None:
        self.below(place)
        before = place.names()

        with pytest.raises(MalformedArchive, match="whiteout"):
            place.extract(archive(entry(name)), "native")

        assert place.names() == before

    def test_a_whiteout_behind_a_link_removes_nothing_outside(self, place: Place) -> None:
        place.extract(archive(entry("l", b"2", link=str(place.canary))))

        with pytest.raises(WherryError):
            place.extract(
                archive(entry("l/.wh.file"), entry("l/.wh..wh..opq"), entry("l", b"1", link="l/x")), "native"
            )

    def test_what_aufs_kept_for_itself_is_left_out(self, place: Place) -> None:
        place.extract(archive(entry(".wh..wh.plnk"), entry(".wh..wh.aufs")), "native")

        assert place.names() == []

    def test_a_hundred_thousand_opaque_marks_cost_no_more_than_one(self, place: Place) -> None:
        self.below(place)
        mark = archive(entry("d/.wh..wh..opq"))

        place.extract(archive(entry("d/new")) + mark * 100_000, "native")

        assert place.names() == ["a", "d", "d/new", "e", "e/f"]

    @pytest.mark.parametrize("whiteouts", ["native", "plain"])
    def test_entries_that_replace_each_other_cost_the_same_however_many_there_are(
        self, place: Place, whiteouts: str
    ) -> None:
        """A quadratic extractor would need hours."""
        width = 1_000
        many = archive(*(entry(f"d/{number}/", b"5") for number in range(width)))
        turn = archive(entry("a"), entry("a/", b"5"), entry("a/b"), entry(".wh.d"), entry("d/.wh.0"))

        place.extract(many + turn * 1_000, whiteouts)

        assert (place.path / "a").is_dir()


SEGMENT = st.sampled_from(["a", "b", "l", "..", ".", "", ".wh.a", ".wh..wh..opq", ".wh.l", "CANARY"])
PATHS = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)


@st.composite
def hostile_entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from([b"0", b"1", b"2", b"5", b"6"]))
    link = (
        draw(PATHS | st.sampled_from(["../canary", "../../canary/file", "/"])) if kind in (b"1", b"2") else ""
    )
    return entry(draw(PATHS), kind, link=link or "x", mode=draw(st.sampled_from([0o644, 0o777, 0o000])))


@settings(max_examples=250, deadline=2000)
@given(st.lists(hostile_entries(), max_size=10), st.sampled_from(["native", "plain"]))
def test_no_archive_changes_anything_outside(
    tmp_path_factory: pytest.TempPathFactory, items: list[Entry], whiteouts: str
) -> None:
    place = Place(tmp_path_factory.mktemp("hostile"))
    for item in items:
        item.name = item.name.replace(b"CANARY", str(place.canary).encode())
        item.link = item.link.replace(b"CANARY", str(place.canary).encode())

    try:
        place.extract(archive(*items), whiteouts)
    except WherryError:
        pass

    assert place.outside() == place.before
