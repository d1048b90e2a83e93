"""What runs here, and which API it speaks."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Any

from wherry import __version__
from wherry.api import versions
from wherry.engine.host import this_host
from wherry.oci.platform import Platform

if TYPE_CHECKING:
    from wherry.engine.engine import Engine

PLATFORM_NAME = "Wherry Engine"


async def version_info(
    _engine: Engine,
    *,
    version: tuple[int, int] = (1, 56),  # noqa: ARG001  the same in all versions
) -> dict[str, Any]:
    """The engine, its parts and the API versions."""
    host = this_host()
    architecture = Platform.host().architecture
    api = {
        "ApiVersion": versions.to_text(versions.NEWEST),
        "MinAPIVersion": versions.to_text(versions.OLDEST),
    }
    about = {
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": host.kernel_release,
        "BuildTime": "",
    }
    parts = {"Python": platform.python_version(), "Implementation": sys.implementation.name}
    components = [
        {"Name": "Engine", "Version": __version__, "Details": {**api, **about, "Experimental": "false"}},
        {"Name": "wherry-core", "Version": __version__, "Details": parts},
        {"Name": "wherry-runtime", "Version": __version__, "Details": {"GitCommit": ""}},
        {"Name": "wherry-init", "Version": __version__, "Details": {"GitCommit": ""}},
    ]
    return {
        "Platform": {"Name": PLATFORM_NAME},
        "Components": components,
        "Version": __version__,
        **api,
        **about,
        "Experimental": False,
    }
