"""The spawner's operations on root directories."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.tasks.bench import Bench, run

from wherry.errors import InvalidArgument


def rootfs(bench: Bench) -> list[dict[str, Any]]:
    return msgspec.to_builtins([bench.writable()])  # type: ignore[no-any-return]


async def copy_up(bench: Bench, path: str, target: Path) -> bool:
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        answer = await bench.service.operation("copy_up", {"rootfs": rootfs(bench), "path": path}, [fd])
        copied: bool = answer["copied"]
        return copied
    finally:
        os.close(fd)


@pytest.mark.parametrize("path", ["/missing", "/etc/passwd", "/loop", "/outside/nothing"])
def test_what_is_no_directory_inside_is_not_copied(bench: Bench, tmp_path: Path, path: str) -> None:
    async def test() -> None:
        async with bench:
            target = tmp_path / "volume"
            target.mkdir()

            assert await copy_up(bench, path, target) is False

            assert list(target.iterdir()) == []

    run(test)


def test_a_directory_is_copied_with_all_that_belongs_to_it(bench: Bench, tmp_path: Path) -> None:
    async def test() -> None:
        async with bench:
            data = tmp_path / "root" / "data"
            (data / "deep" / "er").mkdir(parents=True)
            (data / "file").write_text("text")
            os.chown(data / "file", 12, 34)
            (data / "file").chmod(0o4751)
            os.utime(data / "file", ns=(1_000_000_001, 2_000_000_002))
            os.link(data / "file", data / "deep" / "same")
            os.symlink("/etc/shadow", data / "link")
            os.mkfifo(data / "fifo", 0o600)
            os.mknod(data / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            os.setxattr(data / "file", "user.note", b"kept")
            (data / "deep").chmod(0o1777)
            bench.root = tmp_path / "root"
            target = tmp_path / "volume"
            target.mkdir()

            assert await copy_up(bench, "/data", target) is True

            status = (target / "file").stat()
            assert (target / "file").read_text() == "text"
            assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o4751, 12, 34)
            assert status.st_mtime_ns == 2_000_000_002
            assert (target / "deep" / "same").stat().st_ino == status.st_ino
            assert os.readlink(target / "link") == "/etc/shadow"
            assert stat.S_ISFIFO((target / "fifo").stat().st_mode)
            assert (target / "null").stat().st_rdev == os.makedev(1, 3)
            assert os.getxattr(target / "file", "user.note") == b"kept"
            assert (target / "deep").stat().st_mode & 0o7777 == 0o1777
            assert (target / "deep" / "er").is_dir()

    run(test)


def test_a_link_in_the_image_leads_nowhere_outside(bench: Bench, tmp_path: Path) -> None:
    async def test() -> None:
        async with bench:
            (tmp_path / "canary").mkdir()
            (tmp_path / "canary" / "host").touch()
            root = tmp_path / "root"
            root.mkdir()
            os.symlink(tmp_path / "canary", root / "outside")
            bench.root = root
            target = tmp_path / "volume"
            target.mkdir()

            assert await copy_up(bench, "/outside", target) is False
            arguments = {"rootfs": rootfs(bench), "paths": ["/outside/host", "/outside"], "limit_bytes": 10}
            assert set((await bench.service.operation("read_files", arguments))["files"].values()) == {None}

    run(test)


def test_a_file_beyond_the_limit_is_refused(bench: Bench) -> None:
    async def test() -> None:
        async with bench:
            arguments = {"rootfs": rootfs(bench), "paths": ["/bin/busybox"], "limit_bytes": 1000}

            with pytest.raises(InvalidArgument):
                await bench.service.operation("read_files", arguments)

    run(test)
