"""A small full runtime configuration as Docker makes it, and a root directory to run it in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wherry.core.spec import DEFAULT_PATH, default_linux_spec

BUSYBOX = Path("/usr/bin/busybox") if Path("/usr/bin/busybox").exists() else Path("/bin/busybox")
APPLETS = ("sh", "cat", "echo", "sleep", "true", "false", "ls", "stty", "head", "dd", "id", "ps", "kill")


def docker_style_spec(
    *args: str,
    cgroups_path: str,
    terminal: bool = False,
    env: Sequence[str] = (),
    host_namespaces: Sequence[str] = (),
    memory_bytes: int | None = None,
    seccomp: dict[str, Any] | None = None,
    time_namespace: bool = False,
) -> dict[str, Any]:
    """The default configuration of a container that runs `args`.

    `host_namespaces` are those it shares with the host, such as `pid` and `network`.
    """
    # Of an older version, and without a time namespace unless asked: Debian 12's runc and crun run it, too.
    spec = default_linux_spec(cgroup_namespace=False, time_namespace=time_namespace)
    spec["ociVersion"] = "1.0.2"
    spec["hostname"] = "" if "uts" in host_namespaces else "box"
    spec["process"] |= {
        "args": list(args),
        "terminal": terminal,
        "env": [DEFAULT_PATH, "HOSTNAME=box", *(["TERM=xterm"] if terminal else []), *env],
    }
    linux = spec["linux"]
    linux["cgroupsPath"] = cgroups_path
    linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] not in host_namespaces]
    linux["resources"]["pids"] = {"limit": 512}
    if memory_bytes is not None:
        linux["resources"]["memory"] = {"limit": memory_bytes, "swap": memory_bytes}
    if "network" not in host_namespaces:
        linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
    if seccomp is not None:
        linux["seccomp"] = seccomp
    return spec


def make_busybox_root(path: Path) -> Path:
    """A root directory with the static busybox and what the default mounts need."""
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp"):
        (path / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, path / "bin" / "busybox")
    for applet in APPLETS:
        os.link(path / "bin" / "busybox", path / "bin" / applet)
    (path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return path
