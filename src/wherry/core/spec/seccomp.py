"""Seccomp profiles: Docker's form, with rules for some capabilities, architectures and kernels only.

`resolve` turns a profile into the `linux.seccomp` section of a runtime specification, in which nothing
is left to decide.  The default profile is data, `seccomp.json`.

Spec: Docker, Seccomp security profiles; OCI runtime-spec, config-linux.md, Seccomp.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from wherry.errors import InvalidArgument

Profile = dict[str, Any]

# Words of `includes` and `excludes` are Go's names of architectures.
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_NATIVE = {
    "amd64": "SCMP_ARCH_X86_64",
    "arm64": "SCMP_ARCH_AARCH64",
    "arm": "SCMP_ARCH_ARM",
    "386": "SCMP_ARCH_X86",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "s390x": "SCMP_ARCH_S390X",
    "riscv64": "SCMP_ARCH_RISCV64",
}
_ACTIONS = frozenset(
    "SCMP_ACT_" + word
    for word in ("KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY")
)
_COPIED = ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


class InvalidProfile(InvalidArgument):
    """A document that is no seccomp profile."""


def default_profile() -> Profile:
    """A copy of the profile of containers that ask for none."""
    return parse_profile(_default_document())


def parse_profile(document: str | bytes) -> Profile:
    """The profile in a JSON document.

    Raises:
        InvalidProfile: not JSON, or not a profile: an empty one would let everything pass, or nothing.
    """
    try:
        profile = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidProfile(f"decoding seccomp profile failed: {error}") from error
    _check(profile)
    return dict(profile)


def resolve(
    profile: Mapping[str, Any], *, capabilities: Collection[str], arch: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """The `linux.seccomp` section of `profile` for one container.

    `capabilities` are those of its bounding set, `arch` the machine as uname or Go names it, `kernel`
    its version.

    Raises:
        InvalidProfile: contradictory or malformed.
    """
    _check(profile)
    go_name = _GO_NAMES.get(arch, arch)
    section = {"defaultAction": profile["defaultAction"]}
    section |= {key: profile[key] for key in _COPIED if profile.get(key) is not None}
    architectures = _architectures(profile, go_name)
    if architectures:
        section["architectures"] = architectures
    calls = [
        _call(rule)
        for rule in profile.get("syscalls") or []
        if _applies(rule, frozenset(capabilities), go_name, kernel)
    ]
    if calls:
        section["syscalls"] = calls
    return section


@functools.cache
def _default_document() -> bytes:
    return Path(__file__).with_name("seccomp.json").read_bytes()


def _check(profile: object) -> None:
    if not isinstance(profile, Mapping):
        raise InvalidProfile("decoding seccomp profile failed: it is not a JSON object")
    if profile.get("defaultAction") not in _ACTIONS:
        action = profile.get("defaultAction")
        raise InvalidProfile(f"invalid seccomp profile: unknown defaultAction {action!r}")
    if profile.get("architectures") and profile.get("archMap"):
        raise InvalidProfile(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    for key in ("architectures", "archMap", "syscalls", "flags"):
        if not isinstance(profile.get(key, []), list | None):
            raise InvalidProfile(f"invalid seccomp profile: {key} must be a list")
    for rule in profile.get("syscalls") or []:
        _check_rule(rule)


def _check_rule(rule: object) -> None:
    if not isinstance(rule, Mapping):
        raise InvalidProfile("invalid seccomp profile: a rule must be a JSON object")
    if rule.get("name") and rule.get("names"):
        raise InvalidProfile(
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
        )
    if rule.get("action") not in _ACTIONS:
        raise InvalidProfile(f"invalid seccomp profile: unknown action {rule.get('action')!r}")
    names = rule.get("names") or [rule.get("name")]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InvalidProfile("invalid seccomp profile: a rule needs the names of system calls")
    for key in ("includes", "excludes"):
        conditions = rule.get(key) or {}
        if not isinstance(conditions, Mapping) or not all(
            isinstance(conditions.get(word), list | None) for word in ("caps", "arches")
        ):
            raise InvalidProfile(f"invalid seccomp profile: malformed {key}")


def _architectures(profile: Mapping[str, Any], go_name: str) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    native = _NATIVE.get(go_name)
    for entry in profile.get("archMap") or []:
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or [])]
    return []


def _applies(
    rule: Mapping[str, Any], capabilities: frozenset[str], go_name: str, kernel: tuple[int, int]
) -> bool:
    excludes, includes = rule.get("excludes") or {}, rule.get("includes") or {}
    if go_name in (excludes.get("arches") or []) or capabilities & set(excludes.get("caps") or []):
        return False
    if excludes.get("minKernel") and kernel >= _version(excludes["minKernel"]):
        return False
    if includes.get("arches") and go_name not in includes["arches"]:
        return False
    if not capabilities.issuperset(includes.get("caps") or []):
        return False
    return not includes.get("minKernel") or kernel >= _version(includes["minKernel"])


def _call(rule: Mapping[str, Any]) -> dict[str, Any]:
    call = {"names": list(rule.get("names") or [rule["name"]]), "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        call["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        call["args"] = [dict(argument) for argument in rule["args"]]
    return call


def _version(text: object) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise InvalidProfile(f"invalid seccomp profile: invalid kernel version {text!r}")
    return int(major), int(minor)
