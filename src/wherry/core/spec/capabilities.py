"""Which capabilities a container gets, from a default set, additions and drops.

Spec: capabilities(7); moby's daemon/pkg/oci/caps.
"""

from __future__ import annotations

from collections.abc import Iterable

from wherry.errors import InvalidArgument
from wherry.linux.capabilities import NAMES

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
ALL = "ALL"


def normalise(names: Iterable[str]) -> list[str]:
    """`names` as the kernel writes them: `net_admin` is `CAP_NET_ADMIN`; `ALL` stays.

    Raises:
        InvalidArgument: a name that no kernel we know has.
    """
    known = set(NAMES)
    result: list[str] = []
    for name in names:
        upper = name.upper()
        if upper in {ALL, f"CAP_{ALL}"}:
            result.append(ALL)
            continue
        full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
        if full not in known:
            raise InvalidArgument(f'unknown capability: "{full}"')
        result.append(full)
    return result


def resolve_capabilities(
    *,
    add: Iterable[str] = (),
    drop: Iterable[str] = (),
    privileged: bool = False,
    available: frozenset[str],
    default: Iterable[str] = DEFAULT_CAPABILITIES,
) -> list[str]:
    """The set for one process; ALL and privileged mean the `available` ones, our own bounding set.

    A default capability that is not available is left out; one asked for by name stays, so
    that the start fails instead of running with less than was asked.

    Raises:
        InvalidArgument: an unknown name.
    """
    added, dropped = normalise(add), normalise(drop)
    everything = [name for name in NAMES if name in available]
    if privileged:
        return everything
    if ALL in added:
        return [name for name in everything if name not in dropped]
    if ALL in dropped:
        return list(dict.fromkeys(added))
    kept = [name for name in default if name not in dropped and name in available]
    return list(dict.fromkeys([*kept, *added]))


def capability_sets(names: Iterable[str]) -> dict[str, list[str]]:
    """`names` in the sets where they belong.

    Inheritable and ambient stay empty: a file with inheritable bits would gain them
    (CVE-2022-24769 and its family).
    """
    chosen = list(names)
    return {"bounding": chosen, "effective": list(chosen), "permitted": list(chosen)}
