"""What a container's process is allowed, read back from inside."""

from __future__ import annotations

import os

import pytest
from tests.integration.runtime.conftest import DEFAULT_CAPABILITIES, MASKED, READ_ONLY, Bundle, Runtime

from wherry.linux.libc import syscall

NUMBERS = {
    name: number
    for number, name in enumerate(
        [
            "CHOWN",
            "DAC_OVERRIDE",
            "DAC_READ_SEARCH",
            "FOWNER",
            "FSETID",
            "KILL",
            "SETGID",
            "SETUID",
            "SETPCAP",
            "LINUX_IMMUTABLE",
            "NET_BIND_SERVICE",
            "NET_BROADCAST",
            "NET_ADMIN",
            "NET_RAW",
            "IPC_LOCK",
            "IPC_OWNER",
            "SYS_MODULE",
            "SYS_RAWIO",
            "SYS_CHROOT",
            "SYS_PTRACE",
            "SYS_PACCT",
            "SYS_ADMIN",
            "SYS_BOOT",
            "SYS_NICE",
            "SYS_RESOURCE",
            "SYS_TIME",
            "SYS_TTY_CONFIG",
            "MKNOD",
            "LEASE",
            "AUDIT_WRITE",
            "AUDIT_CONTROL",
            "SETFCAP",
        ]
    )
}


def mask(names: list[str]) -> int:
    return sum(1 << NUMBERS[name.removeprefix("CAP_")] for name in names)


def status(text: str) -> dict[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def capabilities(text: str) -> dict[str, int]:
    found = status(text)
    return {key: int(found[f"Cap{key}"], 16) for key in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
def test_inheritable_and_ambient_are_empty_for_every_user(
    runtime: Runtime, bundle: Bundle, uid: int, joined: bool
) -> None:
    bundle.spec["process"]["user"] = {"uid": uid, "gid": uid}
    full = mask(DEFAULT_CAPABILITIES)

    text = _inside(runtime, bundle, joined, "cat", "/proc/self/status")

    effective = full if uid == 0 else 0
    assert capabilities(text) == {"Inh": 0, "Prm": effective, "Eff": effective, "Bnd": full, "Amb": 0}


def test_without_capabilities_in_the_configuration_there_are_none(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("cat", "/proc/self/status")
    del bundle.spec["process"]["capabilities"]

    text = runtime.run(bundle).stdout

    assert set(capabilities(text).values()) == {0}


@pytest.mark.parametrize("joined", [False, True])
def test_groups_are_exactly_those_of_the_configuration(
    runtime: Runtime, bundle: Bundle, joined: bool
) -> None:
    bundle.spec["process"]["user"] = {"uid": 1000, "gid": 7, "additionalGids": [7, 20]}

    text = _inside(runtime, bundle, joined, "cat", "/proc/self/status")

    assert status(text)["Groups"].split() == ["7", "20"]
    assert status(text)["Gid"].split() == ["7"] * 4
    assert status(text)["Uid"].split() == ["1000"] * 4


@pytest.mark.parametrize("joined", [False, True])
def test_no_new_privileges_and_umask_are_applied(runtime: Runtime, bundle: Bundle, joined: bool) -> None:
    bundle.spec["process"]["noNewPrivileges"] = True
    bundle.spec["process"]["user"]["umask"] = 0o027

    found = status(_inside(runtime, bundle, joined, "cat", "/proc/self/status"))

    assert (found["NoNewPrivs"], found["Umask"]) == ("1", "0027")


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("joined", [False, True])
def test_a_filter_is_in_force(
    runtime: Runtime, bundle: Bundle, joined: bool, no_new_privileges: bool
) -> None:
    bundle.spec["process"]["noNewPrivileges"] = no_new_privileges
    bundle.spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 39}],
    }

    text = _inside(runtime, bundle, joined, "sh", "-c", "mkdir /tmp/x 2>&1; cat /proc/self/status")

    assert text.startswith("mkdir: can't create directory '/tmp/x': Directory not empty")
    assert status(text)["Seccomp"] == "2"


@pytest.mark.parametrize(
    "section",
    [
        {"defaultAction": "SCMP_ACT_NOTHING"},
        {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_VAX"]},
    ],
)
def test_a_filter_that_cannot_be_compiled_starts_nothing(
    runtime: Runtime, bundle: Bundle, section: dict[str, object]
) -> None:
    bundle.spec["linux"]["seccomp"] = section

    assert runtime.run(bundle).returncode == 1


def test_signals_are_neither_blocked_nor_ignored(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("cat", "/proc/self/status")

    found = status(runtime.run(bundle, preexec_fn=_ignore_signals).stdout)

    assert int(found["SigBlk"], 16) == int(found["SigIgn"], 16) == 0


def test_limits_are_set(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("cat", "/proc/self/limits")
    bundle.spec["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]

    lines = runtime.run(bundle).stdout.splitlines()

    found = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert found["Max open files"] == ["100", "200"]
    assert found["Max core file size"] == ["0", "0"]


@pytest.mark.parametrize(
    "limit",
    [
        {"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1},
        {"type": "RLIMIT_X", "soft": 1, "hard": 1},
        {"type": "RLIMIT_NOFILE", "soft": -2, "hard": 1},
    ],
)
def test_a_limit_that_is_none_is_refused(runtime: Runtime, bundle: Bundle, limit: dict[str, object]) -> None:
    bundle.spec["process"]["rlimits"] = [limit]

    assert runtime.run(bundle).returncode == 1
    assert "rlimit" in runtime.last_error()


def test_labels_of_modules_that_are_not_there_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    if os.path.exists("/sys/kernel/security/apparmor"):
        pytest.skip("AppArmor is enabled")
    bundle.spec["process"]["apparmorProfile"] = "docker-default"

    assert runtime.run(bundle).returncode == 1
    assert "apparmor" in runtime.last_error()


@pytest.mark.parametrize("path", MASKED)
def test_masked_paths_read_empty_or_are_not_there(runtime: Runtime, bundle: Bundle, path: str) -> None:
    bundle.command("sh", "-c", f"if [ -d {path} ]; then ls -A {path}; else cat {path}; fi; echo x > {path}/x")

    result = runtime.run(bundle)

    assert result.stdout == ""


def test_read_only_paths_stay_read_only(runtime: Runtime, bundle: Bundle) -> None:
    tries = "; ".join(f"touch {path}/x; mount -o remount,rw,bind {path}" for path in READ_ONLY[:-1])
    bundle.command("sh", "-c", f"{tries}; echo b > /proc/sysrq-trigger; echo x > /proc/sys/kernel/domainname")

    errors = runtime.run(bundle).stderr

    if os.path.exists("/proc/sysrq-trigger"):
        assert "can't create /proc/sysrq-trigger: Read-only file system" in errors
    assert "can't create /proc/sys/kernel/domainname: Read-only file system" in errors


def test_sysctls_of_own_namespaces_are_written_and_the_hosts_refused(
    runtime: Runtime, bundle: Bundle
) -> None:
    bundle.command("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/shmmni")
    bundle.spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shmmni": "77"}

    assert runtime.run(bundle).stdout.split() == ["80", "77"]

    for key in ("kernel.core_pattern", "vm.swappiness", "net.ipv4/../../kernel.core_pattern"):
        bundle.spec["linux"]["sysctl"] = {key: "x"}
        assert runtime.run(bundle).returncode == 1
    bundle.spec["linux"]["namespaces"] = [
        each for each in bundle.spec["linux"]["namespaces"] if each["type"] != "network"
    ]
    bundle.spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert runtime.run(bundle).returncode == 1
    assert "not allowed in host network namespace" in runtime.last_error()


def test_names_and_home_and_environment(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sh", "-c", "hostname; cat /proc/sys/kernel/domainname; env; pwd")
    bundle.spec["domainname"] = "example"
    bundle.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.spec["process"]["cwd"] = "/made/by/us"

    lines = runtime.run(bundle, env={"PATH": os.environ["PATH"], "SECRET": "x"}).stdout.splitlines()

    assert lines[:2] == ["inside", "example"]
    assert "HOME=/home/user" in lines
    assert "MARK=inside" in lines
    assert "/made/by/us" in lines
    assert not any("SECRET" in line for line in lines)


@pytest.mark.parametrize("pair", ["NOVALUE", "=x", "*", "A\0B=c"])
def test_an_environment_entry_without_a_name_or_value_is_refused(
    runtime: Runtime, bundle: Bundle, pair: str
) -> None:
    bundle.spec["process"]["env"] = [pair]

    assert runtime.run(bundle).returncode == 1
    assert "invalid environment variable" in runtime.last_error()


def test_loopback_is_up_in_a_network_namespace_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("sh", "-c", "cat /sys/class/net/lo/flags; ls /sys/class/net")

    assert runtime.run(bundle).stdout.split() == ["0x9", "lo"]


def test_the_session_keyring_is_the_containers_own(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command("cat", "/proc/keys")
    bundle.spec["linux"]["maskedPaths"] = []

    keys = runtime.run(bundle).stdout

    assert "_ses.c" in keys


def test_the_devices_of_the_host_cannot_be_opened(runtime: Runtime, bundle: Bundle) -> None:
    bundle.command(
        "sh", "-c", "mknod /tmp/mem c 1 1; dd if=/tmp/mem bs=1 count=1 of=/dev/null; mknod /tmp/d b 7 0"
    )

    result = runtime.run(bundle)

    assert "/tmp/mem" in result.stderr
    assert "Operation not permitted" in result.stderr


def _inside(runtime: Runtime, bundle: Bundle, joined: bool, *command: str) -> str:
    """The output of `command` as the container's first process, or as one that joins it."""
    if not joined:
        bundle.command(*command)
        return runtime.run(bundle).stdout
    bundle.command("sleep", "60")
    assert runtime.create(bundle).returncode == 0
    assert runtime("start", "c").returncode == 0
    return runtime("exec", "c", *command).stdout


def _ignore_signals() -> None:
    import signal

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    ignore = b"\x01" + bytes(31)  # the kernel's struct sigaction, for a signal that the C library keeps
    syscall("rt_sigaction", {"x86_64": 13, "aarch64": 134}[os.uname().machine], 32, ignore, 0, 8)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
