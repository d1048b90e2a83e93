"""The default Linux specification of a container, for every front that makes containers.

Pure: facts about the host come in as arguments, and an OCI runtime document goes out.  The
engine, cri and build each put their own options on top.

Spec: runtime-spec 1.2; moby's daemon/pkg/oci/defaults.go for what "default" means.
"""

from __future__ import annotations

from wherry.core.spec.capabilities import DEFAULT_CAPABILITIES
from wherry.core.spec.defaults import (
    DEFAULT_PATH,
    MASKED_PATHS,
    READONLY_PATHS,
    default_device_rules,
    default_linux_spec,
    default_mounts,
)

__all__ = [
    "DEFAULT_CAPABILITIES",
    "DEFAULT_PATH",
    "MASKED_PATHS",
    "READONLY_PATHS",
    "default_device_rules",
    "default_linux_spec",
    "default_mounts",
]
