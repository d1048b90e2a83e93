"""features: what this runtime can do, for engines that ask first.

Spec: runtime-spec, features.md.
"""

from __future__ import annotations

import sys

from wherry import __version__
from wherry.files.json import dumps
from wherry.linux import capabilities, cgroupfs
from wherry.linux.namespaces import NAMESPACE_FLAGS
from wherry.runtime import filters
from wherry.runtime.commands.flags import Flags, Options
from wherry.runtime.confinement import apparmor_is_enabled
from wherry.runtime.hooks import KINDS, OCI_VERSION
from wherry.runtime.options import KNOWN_WORDS

FLAGS: Flags = {}


def run(options: Options, arguments: list[str]) -> int:
    del options, arguments
    sys.stdout.write(dumps(features(), indent="    ") + "\n")
    return 0


def features() -> dict[str, object]:
    """The features document."""
    version = cgroupfs.layout().version
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(KINDS),
        "mountOptions": KNOWN_WORDS,
        "linux": {
            "namespaces": sorted(NAMESPACE_FLAGS),
            "capabilities": list(capabilities.NAMES[: capabilities.last_cap() + 1]),
            "cgroup": {"v1": version == 1, "v2": version == 2, "systemd": False, "systemdUser": False},
            "seccomp": {
                "enabled": True,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
                    "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
                ],
                "archs": [
                    "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86",
                    "SCMP_ARCH_X86_64",
                ],
                "knownFlags": list(filters.FLAG_WORDS),
                "supportedFlags": list(filters.FLAG_WORDS),
            },
            "apparmor": {"enabled": apparmor_is_enabled()},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "netDevices": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": False}},
        },
        "annotations": {"io.wherry.runtime.version": __version__},
    }  # fmt: skip
