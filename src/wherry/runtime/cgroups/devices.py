"""Which devices a container may make, read and write: rules reduced to one set, for v1 and v2 alike.

A specification gives rules in order, as writes to v1's devices.allow and devices.deny.  `reduce` plays
them through, exactly as the v1 kernel would, to a default and its exceptions; v1 writes these to its
files and v2 runs them as a program.  What the v1 kernel would silently not do is an error here.

Spec: OCI runtime-spec, config-linux.md, Allowed Device list; kernel documentation, Device Whitelist
Controller.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.linux import bpf, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Node = tuple[str, int, int]  # "b" or "c", major, minor

ANY = -1
_MKNOD, _READ, _WRITE = bpf.DEVICE_MKNOD, bpf.DEVICE_READ, bpf.DEVICE_WRITE
_ALL = _MKNOD | _READ | _WRITE
_BITS = {"m": _MKNOD, "r": _READ, "w": _WRITE}
_MAXIMUM = 0xFFFFFFFF


# What every container may use, after all that its specification says: nodes of any kind may be made
# (a node alone opens nothing), and these character devices opened.
DEFAULTS: tuple[tuple[Node, int], ...] = (
    (("c", ANY, ANY), _MKNOD),
    (("b", ANY, ANY), _MKNOD),
    (("c", 1, 3), _ALL),  # null
    (("c", 1, 5), _ALL),  # zero
    (("c", 1, 7), _ALL),  # full
    (("c", 1, 8), _ALL),  # random
    (("c", 1, 9), _ALL),  # urandom
    (("c", 5, 0), _ALL),  # tty
    (("c", 5, 2), _ALL),  # ptmx
    (("c", 136, ANY), _ALL),  # terminals of devpts
    (("c", 10, 200), _ALL),  # net/tun
)


class DeviceSet:
    """A default, and the nodes with the accesses that are the other way."""

    __slots__ = ("allow", "exceptions")

    def __init__(self, *, allow: bool = False) -> None:
        self.allow = allow
        self.exceptions: dict[Node, int] = {}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DeviceSet) and self.allow == other.allow and self.exceptions == other.exceptions
        )

    def apply(self, rule: dict[str, Any]) -> None:
        """Change the set as the v1 kernel does for one rule.

        Raises:
            InvalidArgument: not a rule, or a hole in a wider rule, which that kernel cannot make.
        """
        allow = bool(rule.get("allow", False))
        kinds, major, minor, access = _parse(rule)
        if kinds == "bc" and (major, minor, access) == (ANY, ANY, _ALL):
            self.allow = allow
            self.exceptions.clear()
            return
        for kind in kinds:
            self.change((kind, major, minor), access, allow=allow)

    def change(self, node: Node, access: int, *, allow: bool) -> None:
        """Allow or deny some access to a node.

        Raises:
            InvalidArgument: a hole in a wider rule.
        """
        if allow == self.allow:
            self._remove(node, access)
        else:
            self.exceptions[node] = self.exceptions.get(node, 0) | access

    def _remove(self, node: Node, access: int) -> None:
        kind, major, minor = node
        for wider in ((kind, ANY, minor), (kind, major, ANY), (kind, ANY, ANY)):
            if wider != node and self.exceptions.get(wider, 0) & access:
                raise InvalidArgument(
                    f"device rule {describe(node, access)} would be a hole in the rule "
                    f"{describe(wider, self.exceptions[wider])}, which cgroups do not support"
                )
        left = self.exceptions.get(node, 0) & ~access
        if left:
            self.exceptions[node] = left
        else:
            self.exceptions.pop(node, None)


ALL_DEVICES = DeviceSet(allow=True)


def reduce(rules: list[dict[str, Any]]) -> DeviceSet:
    """The set that `rules`, followed by DEFAULTS, leave, beginning with "deny all".

    Raises:
        InvalidArgument: as `DeviceSet.apply`.
    """
    devices = DeviceSet()
    for rule in rules:
        devices.apply(rule)
    for node, access in DEFAULTS:
        devices.change(node, access, allow=True)
    return devices


def parse_list(text: str) -> DeviceSet:
    """The set that a v1 devices.list file shows; one that allows by default hides its exceptions."""
    devices = DeviceSet()
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "a":
            return DeviceSet(allow=True)
        numbers, _, access = rest.partition(" ")
        major, _, minor = numbers.partition(":")
        node = (kind, _file_number(major), _file_number(minor))
        devices.exceptions[node] = sum(_BITS[letter] for letter in access)
    return devices


def describe(node: Node, access: int) -> str:
    """A rule as v1's files have it, such as `c 1:3 rwm`."""
    kind, major, minor = node
    numbers = ":".join("*" if number == ANY else str(number) for number in (major, minor))
    return f"{kind} {numbers} {''.join(letter for letter in 'rwm' if _BITS[letter] & access)}"


def v1_writes(wanted: DeviceSet, present: DeviceSet) -> list[tuple[str, list[str]]]:
    """The lines to write to each file, in order, to get from `present` to `wanted`.

    Between two sets that deny by default only the difference is written: a device in use is never
    refused for a moment, and groups beneath, which forbid a new default, do not matter.
    """
    more, less = ("devices.deny", "devices.allow") if wanted.allow else ("devices.allow", "devices.deny")
    if present.allow or wanted.allow:
        return [(less, ["a"]), (more, [describe(*item) for item in wanted.exceptions.items()])]
    return [
        (less, _beyond(present, wanted)),
        (more, _beyond(wanted, present)),
    ]


def _beyond(one: DeviceSet, other: DeviceSet) -> list[str]:
    """The exceptions of `one` that `other` lacks."""
    differences = ((node, access & ~other.exceptions.get(node, 0)) for node, access in one.exceptions.items())
    return [describe(node, access) for node, access in differences if access]


def needs_no_device_rules(refusal: BaseException) -> bool:
    """Whether a refusal to restrict devices does not matter.

    So it is within a user namespace: its root can make no device nodes and may not set rules either.
    """
    cause = refusal if isinstance(refusal, OSError) else refusal.__cause__
    return isinstance(cause, PermissionError) and not namespaces.in_initial_user_namespace()


def assemble(devices: DeviceSet) -> bytes:
    """The eBPF program that answers as the v1 kernel would for `devices`.

    Where the default is to deny, one exception must cover the whole access asked for; where it is to
    allow, an exception that touches the access denies it.
    """
    kind, access, major, minor, scratch, context = 2, 3, 4, 5, 0, 1
    program = [
        bpf.load_word(kind, context, bpf.DEVICE_ACCESS_TYPE),
        bpf.move(access, kind),
        bpf.mask(kind, 0xFFFF),
        bpf.shift_right(access, 16),
        bpf.load_word(major, context, bpf.DEVICE_MAJOR),
        bpf.load_word(minor, context, bpf.DEVICE_MINOR),
    ]
    answer = bpf.leave(0 if devices.allow else 1)
    for (letter, want_major, want_minor), bits in devices.exceptions.items():
        block = answer
        if bits != _ALL:
            asked = bits if devices.allow else _ALL & ~bits
            skip = bpf.skip_if_equal if devices.allow else bpf.skip_unless_equal
            test = skip(scratch, 0, bpf.count(answer))
            block = bpf.move(scratch, access) + bpf.mask(scratch, asked) + test + block
        if want_minor != ANY:
            block = bpf.skip_unless_equal(minor, want_minor, bpf.count(block)) + block
        if want_major != ANY:
            block = bpf.skip_unless_equal(major, want_major, bpf.count(block)) + block
        number = bpf.DEVICE_BLOCK if letter == "b" else bpf.DEVICE_CHARACTER
        program.append(bpf.skip_unless_equal(kind, number, bpf.count(block)) + block)
    return b"".join(program) + bpf.leave(1 if devices.allow else 0)


def _parse(rule: dict[str, Any]) -> tuple[str, int, int, int]:
    kind = rule.get("type") or "a"
    if kind not in ("a", "b", "c", "u"):
        raise InvalidArgument(f"device rule: unknown type {kind!r}")
    access = rule.get("access")
    if access is None or access == "":
        bits = _ALL
    elif isinstance(access, str) and not set(access) - _BITS.keys():
        bits = sum(_BITS[letter] for letter in set(access))
    else:
        raise InvalidArgument(f"device rule: access must be some of r, w and m, not {access!r}")
    kinds = "bc" if kind == "a" else "c" if kind == "u" else kind
    return kinds, _number(rule.get("major")), _number(rule.get("minor")), bits


def _number(value: object) -> int:
    if value is None:
        return ANY
    if not isinstance(value, int) or not ANY <= value <= _MAXIMUM:
        raise InvalidArgument(f"device rule: invalid device number {value!r}")
    return value


def _file_number(text: str) -> int:
    return ANY if text == "*" else int(text)
