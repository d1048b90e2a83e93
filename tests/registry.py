"""A real registry (Debian's docker-registry) on the loopback, for the length of a test."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from shutil import rmtree


class Registry:
    """docker-registry with a directory and a port of its own."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wherry-registry-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Its name and port as references have them."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Registry:
        configuration = self.root / "config.yml"
        configuration.write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.root}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}'}}\n"
        )
        with open(self.root / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", configuration], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v2/", timeout=5):
                    return self
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline, (self.root / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)
        rmtree(self.root)

    def __enter__(self) -> Registry:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
