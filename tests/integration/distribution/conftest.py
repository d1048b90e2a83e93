"""A real registry, stores on a real disk, and images made from busybox."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.registry import FakeRegistry

from wherry.core.content.local import LocalContent
from wherry.core.images import ImageStore
from wherry.core.leases import Leases
from wherry.core.metadata import Metadata
from wherry.core.remotes import RegistryOptions
from wherry.core.snapshots.overlayfs import OverlaySnapshots
from wherry.core.threads import Threads
from wherry.core.transfer import TransferServices

USER, PASSWORD = "ann", "p@ss:word"
BCRYPT = "$2y$05$abcdefghijklmnopqrstuuSI4PoNQsceL6SV39vJj2StwPSduG5K."  # of PASSWORD
OPTIONS = RegistryOptions(attempts=3, backoff_s=0.01, connect_timeout_s=5.0, read_timeout_s=10.0)


class RealRegistry:
    """Debian's docker-registry on the loopback."""

    def __init__(self, root: Path, *, htpasswd: str = "", auth: str = "") -> None:
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._htpasswd = htpasswd
        self._auth = auth
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        configuration = (
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.root}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}', secret: fixed}}\n"
        )
        if self._htpasswd:
            (self.root / "htpasswd").write_text(self._htpasswd)
            self._auth = f"{{htpasswd: {{realm: wherry, path: {self.root}/htpasswd}}}}"
        if self._auth:
            configuration += f"auth: {self._auth}\n"
        (self.root / "config.yml").write_text(configuration)
        with open(self.root / "log", "wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self.root / "config.yml")], stdout=log, stderr=log
            )
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/", timeout=5).close()
                return
            except urllib.error.HTTPError as error:
                error.close()
                return  # it asks for credentials, so it is there
            except OSError:
                assert time.monotonic() < deadline, (self.root / "log").read_text()
                time.sleep(0.05)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    real = RealRegistry(tmp_path_factory.mktemp("registry"))
    real.start()
    yield real
    real.stop()


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    real = RealRegistry(tmp_path_factory.mktemp("private"), htpasswd=f"{USER}:{BCRYPT}\n")
    real.start()
    yield real
    real.stop()


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


class Stores:
    """The stores of one data root, as the daemon wires them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.metadata = Metadata(root / "metadata.db")
        self.threads = Threads()
        self.content = LocalContent(root / "content", self.metadata)
        self.snapshots = OverlaySnapshots(root / "snapshots", self.metadata)
        self.services = TransferServices(
            content=self.content,
            snapshots=self.snapshots,
            images=ImageStore(self.metadata),
            leases=Leases(self.metadata),
            threads=self.threads,
            metadata=self.metadata,
            registries=OPTIONS,
        )

    def close(self) -> None:
        self.threads.close()
        self.metadata.close()


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    (tmp_path / "one").mkdir()
    opened = Stores(tmp_path / "one")
    yield opened
    opened.close()


@pytest.fixture
def other_stores(tmp_path: Path) -> Iterator[Stores]:
    (tmp_path / "two").mkdir()
    opened = Stores(tmp_path / "two")
    yield opened
    opened.close()


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, int | None, int | None]] = []

    def __call__(self, id_: str, status: str, current: int | None, total: int | None) -> None:
        self.records.append((id_, status, current, total))

    def of(self, id_: str) -> list[str]:
        """The statuses of one id, each change once."""
        statuses = [status for other, status, _, _ in self.records if other == id_]
        return [s for i, s in enumerate(statuses) if i == 0 or statuses[i - 1] != s]

    @property
    def statuses(self) -> list[str]:
        return [status for _, status, _, _ in self.records]


@pytest.fixture
def told() -> Told:
    return Told()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def busybox_layer() -> bytes:
    return tar_of({"bin/busybox": Path("/bin/busybox").read_bytes(), "etc/motd": b"hello\n"})


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


async def pieces_of(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def gather(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def call(*command: str, stdin: bytes | None = None) -> bytes:
    """Run a program of others; its output, or its complaint as the failure."""
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout


def inspect(source: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call("skopeo", "inspect", "--tls-verify=false", source))
    return found
