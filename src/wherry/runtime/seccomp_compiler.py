"""The compiler behind `runtime.seccomp`: rules, ranges of numbers, a tree, a program.

Imported only to compile; the meaning of the rules is told in `runtime.seccomp`.
"""

from __future__ import annotations

import errno

from wherry.errors import InvalidArgument
from wherry.linux import cbpf, seccomp, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Condition = tuple[int, str, int, int]  # argument, operator, value, second value
    Rule = tuple[tuple[Condition, ...], int]  # conditions that must all hold, and then the answer
    # An answer for the kernel, or rules to try in order with the default behind them.
    Leaf = int | tuple[Rule, ...]

_NUMBERS_END = 1 << 32
_WORD = 0xFFFFFFFF
_NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_FAMILY = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}
_AUDIT = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
}
# Architectures of other kernels: rules for them are no error, and do nothing here.
_FOREIGN = frozenset(
    (
        "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
        "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
    )
)  # fmt: skip
_ARM_PRIVATE = 0xF0000  # ARM's own calls lie far above all others

_KILL = seccomp.RET_KILL_PROCESS
_ACTIONS = {
    "SCMP_ACT_KILL": seccomp.RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": seccomp.RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": _KILL,
    "SCMP_ACT_TRAP": seccomp.RET_TRAP,
    "SCMP_ACT_ERRNO": seccomp.RET_ERRNO,
    "SCMP_ACT_TRACE": seccomp.RET_TRACE,
    "SCMP_ACT_ALLOW": seccomp.RET_ALLOW,
    "SCMP_ACT_LOG": seccomp.RET_LOG,
    "SCMP_ACT_NOTIFY": seccomp.RET_USER_NOTIF,
}
_PERMISSIVE = (seccomp.RET_ALLOW, seccomp.RET_LOG)
_OPERATORS = {
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
}  # fmt: skip
_ARGUMENTS = 6


def compile_section(section: dict[str, Any], machine: str) -> bytes:
    """The program of `section` for a kernel of `machine`.

    Raises:
        InvalidArgument: as `runtime.seccomp.compile`.
    """
    if machine not in _NATIVE:
        raise InvalidArgument(f"seccomp filters for {machine} are not supported")
    default = _answer(section.get("defaultAction"), section.get("defaultErrnoRet"))
    if default == seccomp.RET_USER_NOTIF:
        raise InvalidArgument("SCMP_ACT_NOTIFY cannot be the default action")
    rules = parse_rules(_objects(section.get("syscalls"), "syscalls"), default)
    wanted = _architectures(section, machine)
    program = cbpf.Program()
    entry = program.leave(_KILL)  # an ABI that is not wanted
    for name in reversed([each for each in _FAMILY[machine] if each in wanted and each in _AUDIT]):
        ranges = _ranges(name, rules, default, wanted)
        emitter = _Emitter(program, default, is_64_bit=name in ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"))
        tree = program.load(cbpf.SYSCALL_NUMBER, emitter.tree(ranges))
        entry = program.jump(cbpf.JUMP_EQUAL, _AUDIT[name], tree, entry)
    program.load(cbpf.ARCHITECTURE, entry)
    if len(program) > seccomp.MAXIMUM_LENGTH:
        raise InvalidArgument(f"the seccomp filter of {len(program)} instructions is too long for the kernel")
    return program.finish()


def parse_rules(entries: list[dict[str, Any]], default: int) -> dict[str, list[Rule]]:
    """The rules of each call by name, in order, without those that do what the default does.

    A name whose rules all went keeps an empty list: the profile knows the call.

    Raises:
        InvalidArgument: as `runtime.seccomp.compile`.
    """
    rules: dict[str, list[Rule]] = {}
    for entry in entries:
        names = entry.get("names")
        if not names or not _are_strings(names):
            raise InvalidArgument("a seccomp rule needs the names of system calls")
        answer = _answer(entry.get("action"), entry.get("errnoRet"))
        alternatives = _alternatives([_condition(each) for each in _objects(entry.get("args"), "args")])
        for name in names:
            if answer == seccomp.RET_USER_NOTIF and name == "write":
                raise InvalidArgument("SCMP_ACT_NOTIFY cannot be used for the write system call")
            known = rules.setdefault(name, [])
            if answer != default:
                known += [(conditions, answer) for conditions in alternatives]
    return rules


def _answer(action: object, number: object) -> int:
    if not isinstance(action, str) or action not in _ACTIONS:
        raise InvalidArgument(f"unknown seccomp action {action!r}")
    answer = _ACTIONS[action]
    if answer not in (seccomp.RET_ERRNO, seccomp.RET_TRACE):
        return answer
    if number is None:
        return answer | errno.EPERM
    if not isinstance(number, int) or not 0 <= number <= 0xFFFF:
        raise InvalidArgument(f"invalid seccomp errno {number!r}")
    return answer | number


def _condition(entry: dict[str, Any]) -> Condition:
    index, operator = entry.get("index"), entry.get("op")
    if not isinstance(index, int) or not 0 <= index < _ARGUMENTS:
        raise InvalidArgument(f"invalid seccomp argument index {index!r}")
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise InvalidArgument(f"unknown seccomp operator {operator!r}")
    values = entry.get("value") or 0, entry.get("valueTwo") or 0
    if not all(isinstance(value, int) and 0 <= value < 1 << 64 for value in values):
        raise InvalidArgument(f"invalid seccomp argument value {values!r}")
    return index, operator, *values


def _alternatives(conditions: list[Condition]) -> list[tuple[Condition, ...]]:
    if len({condition[0] for condition in conditions}) < len(conditions):
        return [(condition,) for condition in conditions]
    return [tuple(sorted(conditions))]


def _architectures(section: dict[str, Any], machine: str) -> set[str]:
    given = section.get("architectures") or []
    if not _are_strings(given):
        raise InvalidArgument("seccomp architectures must be a list of names")
    names = set(given)
    unknown = names - _FOREIGN - {name for family in _FAMILY.values() for name in family}
    if unknown:
        raise InvalidArgument(f"unknown seccomp architecture {min(unknown)!r}")
    return names | {_NATIVE[machine]}


def _objects(value: object, name: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise InvalidArgument(f"seccomp {name} must be a list of objects")
    return value


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _ranges(
    architecture: str, rules: dict[str, list[Rule]], default: int, wanted: set[str]
) -> list[tuple[int, Leaf]]:
    """All numbers of one ABI as ranges: (first number, leaf) in order, beginning at 0."""
    if architecture == "SCMP_ARCH_X86_64":
        ranges = _table_ranges(syscalls.X86_64, rules, default, 0, syscalls.X32_BIT)
        if "SCMP_ARCH_X32" in wanted:
            return ranges + _table_ranges(syscalls.X32, rules, default, syscalls.X32_BIT, _NUMBERS_END)
        return [*ranges, (syscalls.X32_BIT, _KILL), (_WORD, default)]  # -1: a tracer skips the call
    if architecture == "SCMP_ARCH_X86":
        return _table_ranges(syscalls.I386, _multiplexed(rules), default, 0, _NUMBERS_END)
    if architecture == "SCMP_ARCH_ARM":
        common = {name: number for name, number in syscalls.ARM.items() if number < _ARM_PRIVATE}
        private = {name: number for name, number in syscalls.ARM.items() if number >= _ARM_PRIVATE}
        ranges = _table_ranges(common, rules, default, 0, _ARM_PRIVATE)
        return ranges + _table_ranges(private, rules, default, _ARM_PRIVATE, _NUMBERS_END)
    return _table_ranges(syscalls.AARCH64, rules, default, 0, _NUMBERS_END)


def _table_ranges(
    table: dict[str, int], rules: dict[str, list[Rule]], default: int, start: int, end: int
) -> list[tuple[int, Leaf]]:
    known = [(table[name], rules[name]) for name in rules if name in table]
    leaves = {number: _leaf(each) for number, each in known if each}
    last = max((number for number, _ in known), default=end - 1)
    # A tracer sees to unknown calls itself.
    refuses = default not in _PERMISSIVE and default & seccomp.ACTION != seccomp.RET_TRACE
    points: list[tuple[int, Leaf]] = [(start, default)]
    for number in sorted(leaves):
        points += [(number, leaves[number]), (number + 1, default)]
    points.append((last + 1, seccomp.RET_ERRNO | errno.ENOSYS if refuses else default))
    ranges: list[tuple[int, Leaf]] = []
    for number, leaf in points:
        if ranges and ranges[-1][0] == number:
            ranges.pop()  # an empty range
        if number < end and (not ranges or ranges[-1][1] != leaf):
            ranges.append((number, leaf))
    return ranges


def _leaf(rules: list[Rule]) -> Leaf:
    for conditions, answer in rules:
        if not conditions:
            return answer
    return tuple(dict.fromkeys(rules))


def _multiplexed(rules: dict[str, list[Rule]]) -> dict[str, list[Rule]]:
    """`rules` with those that the multiplexers of 32-bit x86 need to mean the same."""
    widened = {name: list(each) for name, each in rules.items()}
    for multiplexer, calls, mask in (
        ("socketcall", syscalls.SOCKETCALLS, _WORD),
        ("ipc", syscalls.IPC_CALLS, 0xFFFF),
    ):
        for name, call in calls.items():
            for conditions, answer in rules.get(name, ()):
                if not conditions or answer not in _PERMISSIVE:
                    test = (0, "SCMP_CMP_MASKED_EQ", mask, call)
                    widened.setdefault(multiplexer, []).append(((test,), answer))
    return widened


class _Emitter:
    """Puts one ABI's tree of numbers and its tests of arguments into a program."""

    __slots__ = ("_default", "_is_64_bit", "_program", "_tests", "_wide")

    def __init__(self, program: cbpf.Program, default: int, *, is_64_bit: bool) -> None:
        self._program = program
        self._default = default
        self._is_64_bit = is_64_bit
        self._wide = is_64_bit  # whether the argument being tested has a meaning above its 32nd bit
        self._tests: dict[tuple[bool, Leaf], int] = {}

    def tree(self, ranges: list[tuple[int, Leaf]]) -> int:
        """A label that, with the number loaded, leads to the answer of its range."""
        if len(ranges) == 1:
            number, leaf = ranges[0]
            # Calls of x32 pass 32-bit values in registers whose upper half means nothing.
            self._wide = self._is_64_bit and number < syscalls.X32_BIT
            return self._answer(leaf)
        middle = len(ranges) // 2
        above = self.tree(ranges[middle:])
        below = self.tree(ranges[:middle])
        return self._program.jump(cbpf.JUMP_GREATER_OR_EQUAL, ranges[middle][0], above, below)

    def _answer(self, leaf: Leaf) -> int:
        if isinstance(leaf, int):
            return self._program.leave(leaf)
        key = self._wide, leaf
        if key not in self._tests:
            otherwise = self._program.leave(self._default)
            for conditions, answer in reversed(leaf):
                then = self._program.leave(answer)
                for condition in reversed(conditions):
                    then = self._test(condition, then, otherwise)
                otherwise = then
            self._tests[key] = otherwise
        return self._tests[key]

    def _test(self, condition: Condition, then: int, otherwise: int) -> int:
        index, operator, value, second = condition
        if operator == "SCMP_CMP_MASKED_EQ":
            return self._masked(index, value, second & value, then, otherwise)
        if operator == "SCMP_CMP_NE":
            return self._masked(index, (1 << 64) - 1, value, otherwise, then)
        if operator == "SCMP_CMP_EQ":
            return self._masked(index, (1 << 64) - 1, value, then, otherwise)
        if operator in ("SCMP_CMP_LT", "SCMP_CMP_LE"):
            then, otherwise = otherwise, then
        strict = operator in ("SCMP_CMP_GT", "SCMP_CMP_LE")
        return self._greater(index, value, then, otherwise, strict=strict)

    def _masked(self, index: int, mask: int, value: int, then: int, otherwise: int) -> int:
        label = self._half(index, mask & _WORD, value & _WORD, then, otherwise, high=False)
        return self._half(index, mask >> 32, value >> 32, label, otherwise, high=True)

    def _half(self, index: int, mask: int, value: int, then: int, otherwise: int, *, high: bool) -> int:
        if high and not self._wide:
            return then if value == 0 else otherwise
        if mask == 0:
            return then
        label = self._program.jump(cbpf.JUMP_EQUAL, value, then, otherwise)
        if mask != _WORD:
            label = self._program.mask(mask, label)
        return self._program.load(cbpf.argument_word(index, high=high), label)

    def _greater(self, index: int, value: int, then: int, otherwise: int, *, strict: bool) -> int:
        low, high = value & _WORD, value >> 32
        if high and not self._wide:
            return otherwise
        code = cbpf.JUMP_GREATER if strict else cbpf.JUMP_GREATER_OR_EQUAL
        label = self._program.jump(code, low, then, otherwise)
        label = self._program.load(cbpf.argument_word(index, high=False), label)
        if self._wide:
            label = self._program.jump(cbpf.JUMP_EQUAL, high, label, otherwise)
            label = self._program.jump(cbpf.JUMP_GREATER, high, then, label)
            label = self._program.load(cbpf.argument_word(index, high=True), label)
        return label
