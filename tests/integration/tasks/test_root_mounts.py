"""The root directory's mount: layers on both paths, and never two overlays on one upper directory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.tasks.bench import Bench, run

from wherry.core.mounts import Mount, bind, overlay
from wherry.errors import InvalidArgument, Unsupported
from wherry.linux.mount import mountinfo
from wherry.shim import rootfs

MOST_LAYERS = 127


@pytest.fixture
def kernel_log() -> Iterator[int]:
    """The kernel's log from now on."""
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(fd, 0, os.SEEK_END)
    yield fd
    os.close(fd)


def read_kernel_log(fd: int) -> str:
    lines = []
    while True:
        try:
            lines.append(os.read(fd, 8192).decode("utf-8", "replace"))
        except BlockingIOError:
            return "".join(lines)
        except OSError as error:
            if error.errno != errno.EPIPE:  # some were overwritten before we read them
                raise


def make_layers(path: Path, count: int) -> list[str]:
    """`count` layers, the first the topmost, each with a file of its own and one that all have."""
    for number in range(count):
        (path / str(number)).mkdir(parents=True)
        (path / str(number) / f"only-{number}").touch()
        (path / str(number) / "all").write_text(str(number))
    return [str(path / str(number)) for number in range(count)]


def names_in(fd: int) -> list[str]:
    """What is in the directory of an O_PATH descriptor."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
    try:
        return os.listdir(readable)
    finally:
        os.close(readable)


def as_request(mount: Mount) -> list[dict[str, object]]:
    return [{"type": mount.type, "source": mount.source, "options": list(mount.options)}]


@pytest.mark.parametrize("new_mount_calls", [True, False])
@pytest.mark.parametrize(
    "depth", [1, 40]
)  # directories deep enough to be beyond a page in all, and fsconfig's 255
def test_as_many_layers_as_docker_has_are_mounted_on_both_paths(
    tmp_path: Path, new_mount_calls: bool, depth: int
) -> None:
    deep = tmp_path.joinpath(*["a-directory"] * depth)
    layers = make_layers(deep, MOST_LAYERS)
    (tmp_path / "upper").mkdir()
    (tmp_path / "work").mkdir()
    mount = overlay(layers, upper=str(tmp_path / "upper"), work=str(tmp_path / "work"))
    before = mountinfo()

    fd = rootfs.assemble(as_request(mount), new_mount_calls=new_mount_calls)

    assert len(names_in(fd)) == MOST_LAYERS + 1
    with open(os.open("all", os.O_RDONLY, dir_fd=fd)) as file:
        assert file.read() == "0"
    os.close(os.open("new", os.O_CREAT, 0o644, dir_fd=fd))
    assert (tmp_path / "upper" / "new").exists()
    os.close(fd)
    assert [each.mountpoint for each in mountinfo()] == [each.mountpoint for each in before]


@pytest.mark.parametrize("new_mount_calls", [True, False])
def test_paths_with_the_kernels_own_separators_are_paths(tmp_path: Path, new_mount_calls: bool) -> None:
    lower, upper, work = (tmp_path / f"{name}:,\\odd" for name in ("lower", "upper", "work"))
    for path in (lower, upper, work):
        path.mkdir()
    (lower / "file").touch()
    mount = overlay([str(lower)], upper=str(upper), work=str(work))

    fd = rootfs.assemble(as_request(mount), new_mount_calls=new_mount_calls)

    assert names_in(fd) == ["file"]
    os.close(os.open("new", os.O_CREAT, 0o644, dir_fd=fd))
    assert (upper / "new").exists()
    os.close(fd)


@pytest.mark.parametrize("new_mount_calls", [True, False])
def test_a_missing_layer_is_told(tmp_path: Path, new_mount_calls: bool) -> None:
    mount = overlay([str(tmp_path / "missing")])

    with pytest.raises(rootfs.RootfsNotMounted, match="cannot mount the root directory"):
        rootfs.assemble(as_request(mount), new_mount_calls=new_mount_calls)


def test_a_read_only_root_takes_no_writes(tmp_path: Path) -> None:
    mount = bind(str(tmp_path), read_only=True)

    fd = rootfs.assemble(as_request(mount))

    with pytest.raises(OSError, match="Read-only"):
        os.open("new", os.O_CREAT, 0o644, dir_fd=fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ([], InvalidArgument),
        ([{"type": "overlay", "source": "overlay", "options": []}], InvalidArgument),
        ([{"type": "ext4", "source": "/dev/sda", "options": []}], Unsupported),
    ],
)
def test_what_is_no_root_is_refused(mounts: list[dict[str, object]], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        rootfs.assemble(mounts)


def test_a_bind_mount_serves_the_native_driver(bench: Bench, tmp_path: Path) -> None:
    async def test() -> None:
        async with bench:
            ended = await bench.run("sh", "-c", "exit 4", rootfs=bind(str(bench.root), read_only=False))

            assert ended.exit_code == 4

    run(test)


def test_a_hundred_restarts_never_mount_one_upper_directory_twice(bench: Bench, kernel_log: int) -> None:
    async def test() -> None:
        async with bench:
            layer = bench.writable()
            for number in range(100):
                task = await bench.start("sleep", "1000", task_id="again", rootfs=layer)
                await task.create_exec(
                    "e",
                    {
                        "args": ["sleep", "1000"],
                        "cwd": "/",
                        "env": ["PATH=/bin"],
                        "user": {"uid": 0, "gid": 0},
                    },
                )
                if number % 10 == 0:
                    await task.start_exec("e")
                await task.kill(9)
                await task.released
                await task.delete()

        assert "in-use" not in read_kernel_log(kernel_log)

    run(test)


def test_a_borrowed_root_directory_holds_the_release_back(bench: Bench, kernel_log: int) -> None:
    async def test() -> None:
        async with bench:
            layer = bench.writable()
            task = await bench.start("sleep", "1000", task_id="lent", rootfs=layer)
            async with task.rootfs() as fd:
                assert "bin" in os.listdir(fd)
                await task.kill(9)
                await task.exited
                await bench.threads.disk(lambda: None)
                assert not task.released.done()
            await task.released
            await task.delete()

            assert (await bench.run("true", rootfs=layer)).exit_code == 0

        assert "in-use" not in read_kernel_log(kernel_log)

    run(test)
