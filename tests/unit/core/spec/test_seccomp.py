"""Seccomp profiles: what is left of one for a container's capabilities, architecture and kernel."""

from typing import Any

import pytest

from wherry.core.spec.capabilities import DEFAULT_CAPABILITIES
from wherry.core.spec.seccomp import InvalidProfile, default_profile, parse_profile, resolve
from wherry.linux import syscalls


def resolved(profile: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    given = {"capabilities": DEFAULT_CAPABILITIES, "arch": "x86_64", "kernel": (6, 12)} | facts
    return resolve(default_profile() if profile is None else profile, **given)


def names(section: dict[str, Any]) -> set[str]:
    return {name for rule in section["syscalls"] for name in rule["names"]}


def profile(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(rules), **more}


def test_the_default_profile_names_dockers_calls() -> None:
    everything = {name for rule in default_profile()["syscalls"] for name in rule["names"]}
    unconditional = default_profile()["syscalls"][0]

    # Docker's count of both, without `socketcall` (see NOTICE).
    assert len(everything) == 426 - 1
    assert len(unconditional["names"]) == 361 - 1
    assert not set(unconditional) - {"names", "action"}


def test_a_call_of_the_default_profile_that_no_table_has_belongs_to_another_architecture() -> None:
    known = set[str]().union(
        syscalls.X86_64, syscalls.I386, syscalls.X32, syscalls.AARCH64, syscalls.ARM, syscalls.SOCKETCALLS,
        syscalls.IPC_CALLS,
    )  # fmt: skip
    foreign = {
        "riscv_flush_icache", "riscv_hwprobe", "s390_pci_mmio_read", "s390_pci_mmio_write",
        "s390_runtime_instr", "swapcontext", "sync_file_range2", "getsid", "timerfd_gettime64",
    }  # fmt: skip

    unknown = {name for rule in default_profile()["syscalls"] for name in rule["names"]} - known

    assert unknown <= foreign | {"fstatat64", "epoll_ctl_old", "epoll_wait_old"}


def test_each_copy_of_the_default_profile_is_the_callers() -> None:
    default_profile()["syscalls"].clear()

    assert default_profile()["syscalls"]


def test_the_result_has_nothing_left_to_decide() -> None:
    section = resolved()

    assert section["defaultAction"] == "SCMP_ACT_ERRNO"
    assert section["defaultErrnoRet"] == 1
    assert section["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert all(set(rule) <= {"names", "action", "errnoRet", "args"} for rule in section["syscalls"])


@pytest.mark.parametrize("arch", ["aarch64", "arm64"])
def test_an_architecture_has_two_names(arch: str) -> None:
    section = resolved(arch=arch)

    assert section["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert "set_tls" in names(section)
    assert "arch_prctl" not in names(section)


@pytest.mark.parametrize(
    ("capability", "call"),
    [
        ("CAP_SYS_ADMIN", "mount"), ("CAP_DAC_READ_SEARCH", "open_by_handle_at"), ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_MODULE", "init_module"), ("CAP_SYS_PACCT", "acct"), ("CAP_SYS_PTRACE", "kcmp"),
        ("CAP_SYS_RAWIO", "iopl"), ("CAP_SYS_TIME", "settimeofday"), ("CAP_SYS_TTY_CONFIG", "vhangup"),
        ("CAP_SYS_NICE", "mbind"), ("CAP_SYSLOG", "syslog"), ("CAP_BPF", "bpf"),
        ("CAP_PERFMON", "perf_event_open"),
    ],
)  # fmt: skip
def test_a_capability_brings_its_calls(capability: str, call: str) -> None:
    assert call not in names(resolved())
    assert call in names(resolved(capabilities={*DEFAULT_CAPABILITIES, capability}))


def test_chroot_needs_its_capability() -> None:
    assert "chroot" in names(resolved())
    assert "chroot" not in names(resolved(capabilities=set()))


def test_clone_is_conditional_without_the_capability() -> None:
    rules = {tuple(rule["names"]): rule for rule in resolved()["syscalls"]}

    assert rules["clone",]["args"] == [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}]
    assert rules["clone3",] == {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}

    admin = resolved(capabilities={"CAP_SYS_ADMIN"})
    assert [rule for rule in admin["syscalls"] if rule["names"] in (["clone"], ["clone3"])] == []


@pytest.mark.parametrize(
    ("kernel", "present"), [((4, 7), False), ((4, 8), True), ((4, 10), True), ((6, 0), True)]
)
def test_an_old_kernel_has_no_ptrace(kernel: tuple[int, int], present: bool) -> None:
    assert ("ptrace" in names(resolved(kernel=kernel))) is present


def test_a_rule_can_name_one_call() -> None:
    section = resolved(profile({"name": "read", "action": "SCMP_ACT_ALLOW"}))

    assert section["syscalls"] == [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]


def test_all_included_and_none_of_the_excluded_capabilities_are_needed() -> None:
    both = profile(
        {
            "names": ["read"],
            "action": "SCMP_ACT_ALLOW",
            "includes": {"caps": ["CAP_A", "CAP_B"]},
            "excludes": {"caps": ["CAP_C", "CAP_D"]},
        }
    )

    assert "syscalls" in resolved(both, capabilities={"CAP_A", "CAP_B"})
    assert "syscalls" not in resolved(both, capabilities={"CAP_A"})
    assert "syscalls" not in resolved(both, capabilities={"CAP_A", "CAP_B", "CAP_D"})


def test_flags_and_listener_are_handed_on() -> None:
    section = resolved(
        profile(flags=["SECCOMP_FILTER_FLAG_LOG"], listenerPath="/run/x", listenerMetadata="m")
    )

    assert section["flags"] == ["SECCOMP_FILTER_FLAG_LOG"]
    assert (section["listenerPath"], section["listenerMetadata"]) == ("/run/x", "m")


def test_nulls_are_as_good_as_nothing() -> None:
    section = resolved({"defaultAction": "SCMP_ACT_ALLOW", "archMap": None, "syscalls": None, "flags": None})

    assert section == {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    "document",
    [
        "", " ", "{}", "[]", "null", "1", "{", '"x"', b"\xff", '{"defaultAction": "ALLOW"}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "DENY"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "read", "action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [1], "action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"name": "a", "action": "SCMP_ACT_LOG", "includes": 1}]}',  # noqa: E501
        '{"defaultAction": "SCMP_ACT_ALLOW", "archMap": {}, "flags": "x"}',
        "[" * 100000,
    ],
)  # fmt: skip
def test_what_is_no_profile_is_refused(document: str | bytes) -> None:
    with pytest.raises(InvalidProfile, match="seccomp profile"):
        parse_profile(document)


def test_architectures_are_given_one_way_only() -> None:
    both = profile(architectures=["SCMP_ARCH_X86_64"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}])

    with pytest.raises(InvalidProfile, match="use either 'architectures' or 'archMap'"):
        resolved(both)


def test_a_call_is_named_one_way_only() -> None:
    with pytest.raises(InvalidProfile, match="use either 'name' or 'names'"):
        resolved(profile({"name": "read", "names": ["write"], "action": "SCMP_ACT_ALLOW"}))


@pytest.mark.parametrize("version", ["4", "4.x", "x.8", "4.8.1"])
def test_a_kernel_version_has_two_numbers(version: str) -> None:
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": version}}

    with pytest.raises(InvalidProfile, match="kernel version"):
        resolved(profile(rule))
