"""Planning mounts: `-v` strings, structured mounts, tmpfs and images' volumes."""

import pytest

from wherry.api.types import BindOptions, HostConfig, Mount, TmpfsOptions, VolumeOptions
from wherry.engine.mounts import Volumes, plan_mounts
from wherry.engine.records import MountPoint
from wherry.errors import InvalidArgument

VOLUMES = Volumes(data=lambda name: f"/volumes/{name}/_data", new_name=lambda: "a" * 64)


def plan(
    host: HostConfig, volumes: tuple[str, ...] = (), **others: tuple[MountPoint, ...]
) -> tuple[MountPoint, ...]:
    return plan_mounts(
        host, volumes, volumes=VOLUMES, exists=lambda path: path.startswith("/here"), others=others
    )


def one(host: HostConfig) -> MountPoint:
    [point] = plan(host)
    return point


class TestBindStrings:
    @pytest.mark.parametrize(
        ("spec", "text"),
        [
            ("", "invalid volume specification: ''"),
            ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
            ("/a:", "invalid volume specification: '/a:'"),
            ("/foo:rw", "invalid volume specification: '/foo:rw'"),
            ("/a:/b:nope", "invalid mode: nope"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
        ],
    )  # fmt: skip
    def test_refusals(self, spec: str, text: str) -> None:
        with pytest.raises(InvalidArgument) as failure:
            plan(HostConfig(binds=[spec]))

        assert str(failure.value) == text

    @pytest.mark.parametrize(
        ("spec", "tail"),
        [
            ("/a:b", "invalid mount path: 'b' mount path must be absolute"),
            ("/a:/", "invalid specification: destination can't be '/'"),
            ("/a:/x/..", "invalid specification: destination can't be '/'"),
        ],
    )
    def test_a_bad_destination_is_told_in_full(self, spec: str, tail: str) -> None:
        with pytest.raises(InvalidArgument) as failure:
            plan(HostConfig(binds=[spec]))

        start = f"invalid volume specification: '{spec}': invalid mount config for type \"bind\": "
        assert str(failure.value) == start + tail

    def test_a_host_path(self) -> None:
        point = one(HostConfig(binds=["/a/../b:/c:ro,rslave"]))

        assert (point.type, point.source, point.destination) == ("bind", "/b", "/c")
        assert (point.rw, point.propagation, point.mode, point.create_source) == (
            False,
            "rslave",
            "ro,rslave",
            True,
        )

    def test_a_named_volume(self) -> None:
        point = one(HostConfig(binds=["data:/c:nocopy"]))

        assert (point.type, point.name, point.source) == ("volume", "data", "/volumes/data/_data")
        assert (point.copy_up, point.anonymous, point.rw) == (False, False, True)

    def test_a_destination_alone_is_an_anonymous_volume(self) -> None:
        assert one(HostConfig(binds=["/c"])).anonymous


class TestStructuredMounts:
    @pytest.mark.parametrize(
        ("mount", "text"),
        [
            (Mount(type="bind", source="/here"), "field Target must not be empty"),
            (Mount(type="bind", target="/c"), "field Source must not be empty"),
            (Mount(type="bind", source="/gone", target="/c"), "bind source path does not exist: /gone"),
            (Mount(type="bind", source="x", target="/c"),
             "invalid mount path: 'x' mount path must be absolute"),
            (Mount(type="bind", source="/here", target="/c", volume_options=VolumeOptions()),
             "field VolumeOptions must not be specified"),
            (Mount(type="bind", source="/here", target="/c", bind_options=BindOptions(propagation="x")),
             "invalid propagation mode: x"),
            (Mount(type="tmpfs", source="/a", target="/c"), "field Source must not be specified"),
            (Mount(type="volume", target="/c", read_only=True),
             "must not set ReadOnly mode when using anonymous volumes"),
            (Mount(type="nope", target="/c"), "mount type unknown"),
        ],
    )  # fmt: skip
    def test_refusals(self, mount: Mount, text: str) -> None:
        with pytest.raises(InvalidArgument) as failure:
            plan(HostConfig(mounts=[mount]))

        assert str(failure.value) == f'invalid mount config for type "{mount.type}": {text}'

    def test_how_far_read_only_reaches(self) -> None:
        def reach(**options: bool) -> str:
            mount = Mount(
                type="bind", source="/here", target="/c", read_only=True, bind_options=BindOptions(**options)
            )
            return one(HostConfig(mounts=[mount])).read_only

        assert reach() == "recursive"
        assert reach(read_only_non_recursive=True) == "top"
        assert reach(read_only_force_recursive=True) == "forced"

    def test_a_tmpfs_with_options(self) -> None:
        options = TmpfsOptions(size_bytes=4096, mode=0o700, options=[["exec"]])
        mount = Mount(type="tmpfs", target="/c", tmpfs_options=options)

        assert one(HostConfig(mounts=[mount])).tmpfs_options == (
            "exec",
            "nosuid",
            "nodev",
            "size=4096",
            "mode=700",
        )


class TestTogether:
    def test_two_mounts_on_one_path(self) -> None:
        with pytest.raises(InvalidArgument, match=r"^Duplicate mount point: /c$"):
            plan(HostConfig(binds=["/a:/c", "x:/c/"]))

    def test_an_images_volume_yields_to_the_user(self) -> None:
        points = plan(HostConfig(binds=["/a:/data"]), ("/data/", "/other"))

        assert [(p.destination, p.type) for p in points] == [("/data", "bind"), ("/other", "volume")]

    @pytest.mark.parametrize("path", ["", ".", "x", "/", "/../.."])
    def test_an_images_volume_with_a_hostile_path_is_refused(self, path: str) -> None:
        with pytest.raises(InvalidArgument):
            plan(HostConfig(), (path,))

    def test_an_images_volume_cannot_climb(self) -> None:
        [point] = plan(HostConfig(), ("/../../run/canary",))

        assert point.destination == "/run/canary"
        assert point.source == f"/volumes/{'a' * 64}/_data"

    def test_volumes_from_another_are_overridden(self) -> None:
        theirs = (
            MountPoint(type="volume", name="v", source="/volumes/v/_data", destination="/v", driver="local"),
            MountPoint(type="bind", source="/b", destination="/b"),
            MountPoint(type="tmpfs", destination="/t"),
        )

        points = plan(HostConfig(volumes_from=["other:ro"], binds=["/mine:/b"]), other=theirs)

        assert [(p.destination, p.source, p.rw) for p in points] == [
            ("/v", "/volumes/v/_data", False),
            ("/b", "/mine", True),
        ]

    def test_an_unknown_tmpfs_option(self) -> None:
        with pytest.raises(InvalidArgument, match=r'^invalid tmpfs option \["nope"\]$'):
            plan(HostConfig(tmpfs={"/t": "nope"}))
