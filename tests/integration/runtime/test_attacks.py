"""The attacks of other runtimes' histories, tried on this one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.runtime.conftest import DEFAULT_CAPABILITIES, SOURCE, Bundle, Runtime

from wherry.runtime import reaper
from wherry.runtime.reaper import machine
from wherry.runtime.reaper.elf import executable

ALL_CAPABILITIES = [
    *DEFAULT_CAPABILITIES,
    "CAP_SYS_ADMIN",
    "CAP_SYS_PTRACE",
    "CAP_DAC_READ_SEARCH",
    "CAP_NET_ADMIN",
    "CAP_SYS_MODULE",
]


def chroot_escape() -> bytes:
    """The way out of a chroot: change the root below the working directory, climb, make that the root."""
    numbers = {"x86_64": {"chroot": 161, "chdir": 80}, "aarch64": {"chroot": 51, "chdir": 49}}[
        os.uname().machine
    ]
    base, elf_machine = reaper._MACHINES[os.uname().machine]

    class Assembler(base):  # type: ignore[misc, valid-type]
        SYSTEM_CALLS = {**base.SYSTEM_CALLS, **numbers}

    to = Assembler()
    to.address(machine.A0, "below")
    to.system("chroot")
    to.go_if(machine.R, "!=", 0, "end")
    for _ in range(64):
        to.address(machine.A0, "up")
        to.system("chdir")
    to.address(machine.A0, "here")
    to.system("chroot")
    to.add(machine.SP, -32)
    for place, text in enumerate(("program", "all", "root")):
        to.address(machine.T, text)
        to.store(machine.T, machine.SP, 8 * place)
    to.set(machine.T, 0)
    to.store(machine.T, machine.SP, 24)
    to.address(machine.A0, "program")
    to.copy(machine.A1, machine.SP)
    to.set(machine.A2, 0)
    to.system("execve")
    to.label("end")
    to.set(machine.A0, 9)
    to.system("exit_group")
    words = (
        ("below", b"/tmp"),
        ("up", b".."),
        ("here", b"."),
        ("program", b"/bin/ls"),
        ("all", b"-a"),
        ("root", b"/"),
    )
    for name, text in words:
        to.text(name, text)
    return executable(to.finish(), elf_machine)


def interpreter() -> Path:
    return Path(sys.executable).resolve()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("script", ["#!/proc/self/exe\n", "#!/proc/self/exe -c\n"])
def test_an_entrypoint_that_names_the_runtime_cannot_overwrite_it(
    runtime: Runtime, bundle: Bundle, script: str
) -> None:
    """CVE-2019-5736, by way of the interpreter line."""
    before = digest(interpreter())
    (bundle.rootfs / "entry").write_text(script)
    (bundle.rootfs / "entry").chmod(0o755)
    bundle.command("/entry")

    runtime.run(bundle)

    assert digest(interpreter()) == before


def test_the_runtime_seen_from_inside_cannot_be_opened_for_writing(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2019-5736, by way of /proc/PID/exe of what joins; with the rights to look into it."""
    before = digest(interpreter())
    bundle.spec["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted"), ALL_CAPABILITIES
    )
    # Whatever appears is opened and held; when it has become another program the file is written to.
    bundle.command(
        "sh",
        "-c",
        "echo up; while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue; "
        "if exec 8<$p/exe; then (echo x > /proc/self/fd/8) && echo OPENED; exec 8<&-; fi; "
        "done; done 2>/dev/null",
    )
    runtime.create(bundle)
    runtime("start", "c")

    for _ in range(10):
        runtime("exec", "c", "true")

    assert digest(interpreter()) == before
    assert "OPENED" not in runtime.output().replace("up\n", "")


def test_the_process_that_enters_runs_from_a_read_only_copy(tmp_path: Path) -> None:
    copy = shutil.copy(
        interpreter(), tmp_path / "python"
    )  # one that nobody else runs: never "text file busy"
    program = (
        "from wherry.runtime import selfexe; selfexe.protect()\n"
        "import os\n"
        "assert selfexe.is_protected()\n"
        "fd = os.open('/proc/self/exe', os.O_PATH)\n"
        "os.set_inheritable(fd, True)\n"
        "os.execv('/bin/sh', ['sh', '-c', f'echo x >> /proc/self/fd/{fd}'])\n"
    )

    result = subprocess.run(
        [copy, "-S", "-c", program],
        env={"PYTHONPATH": str(SOURCE), "PYTHONHOME": sys.base_prefix},
        capture_output=True,
        text=True,
    )

    assert result.returncode != 0
    assert "Read-only file system" in result.stderr


@pytest.mark.parametrize(
    ("number", "joined"),
    [*((number, False) for number in range(3, 16)), *((number, True) for number in range(3, 9))],
)
def test_a_working_directory_by_a_leaked_descriptor_leads_nowhere(
    runtime: Runtime, bundle: Bundle, number: int, joined: bool
) -> None:
    """CVE-2024-21626."""
    cwd = f"/proc/self/fd/{number}"
    (bundle.path / "canary").touch()
    canary = f"../../../../../..{bundle.path}/canary"
    bundle.command("sh", "-c", f"pwd; ls {canary}")
    if not joined:
        bundle.spec["process"]["cwd"] = cwd
        result = runtime.run(bundle)
    else:
        bundle.command("sleep", "60")
        runtime.create(bundle)
        runtime("start", "c")
        result = runtime("exec", "--cwd", cwd, "c", "ls", canary)

    assert result.returncode != 0
    assert "canary\n" not in result.stdout


def test_a_working_directory_by_a_link_to_a_descriptor_leads_nowhere(
    runtime: Runtime, bundle: Bundle
) -> None:
    for number in range(3, 12):
        (bundle.rootfs / f"link{number}").symlink_to(f"/proc/self/fd/{number}")
    bundle.command("ls")

    for number in range(3, 12):
        bundle.spec["process"]["cwd"] = f"/link{number}"
        assert runtime.run(bundle, name=f"c{number}").returncode != 0


@pytest.mark.parametrize("capabilities", [DEFAULT_CAPABILITIES, ALL_CAPABILITIES], ids=["default", "all"])
def test_a_chroot_escape_ends_at_the_containers_root(
    runtime: Runtime, bundle: Bundle, capabilities: list[str]
) -> None:
    bundle.spec["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted"), capabilities
    )
    (bundle.rootfs / "escape").write_bytes(chroot_escape())
    (bundle.rootfs / "escape").chmod(0o755)
    bundle.command("/escape")

    result = runtime.run(bundle)

    assert set(result.stdout.split()) == {".", "..", "bin", "dev", "escape", "etc", "proc", "sys", "tmp"}


@pytest.mark.parametrize("hooked", [False, True])
def test_the_mount_namespace_holds_the_container_and_nothing_of_the_host(
    runtime: Runtime, bundle: Bundle, hooked: bool
) -> None:
    """With a skeleton and with a copy of the host's mounts: after pivot_root both are gone."""
    if hooked:
        bundle.spec["hooks"] = {"createContainer": [{"path": "/bin/true"}]}
    bundle.command("cat", "/proc/self/mountinfo")
    known = {each["destination"] for each in bundle.spec["mounts"]} | {"/"}

    points = [line.split()[4] for line in runtime.run(bundle).stdout.splitlines()]

    assert points.count("/") == 1
    assert all(point in known or point.startswith(("/proc/", "/sys/")) for point in points)


@pytest.mark.parametrize(
    "path", ["dev", "proc", "sys", "dev/pts", "dev/shm", "dev/mqueue", "sys/fs", "etc", "dev/console"]
)
def test_nothing_is_made_behind_a_link_out_of_the_root(
    runtime: Runtime, bundle: Bundle, canary: Path, path: str
) -> None:
    """CVE-2026-41579 and its kin: the canary's directory stays empty."""
    place = bundle.rootfs / path
    if place.is_dir():
        for child in place.iterdir():
            child.unlink()
        place.rmdir()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(canary / "d")
    bundle.mount("/etc/hosts", "bind", str(canary / "f"), "rbind", "ro")
    bundle.spec["process"]["terminal"] = path == "dev/console"
    bundle.command("true")

    runtime.run(bundle, stdin=subprocess.DEVNULL)

    assert list((canary / "d").iterdir()) == []


@pytest.mark.parametrize("path", ["proc", "sys"])
def test_procfs_and_sysfs_are_not_mounted_through_a_link(runtime: Runtime, bundle: Bundle, path: str) -> None:
    """CVE-2019-19921."""
    (bundle.rootfs / path).rmdir()
    (bundle.rootfs / path).symlink_to("tmp")

    assert runtime.run(bundle).returncode == 1
    assert "must be mounted on ordinary directory" in runtime.last_error()


def test_a_null_device_that_is_none_masks_nothing(runtime: Runtime, bundle: Bundle, canary: Path) -> None:
    """CVE-2025-31133: a bound /dev whose null leads elsewhere."""
    evil = bundle.path / "evil"
    evil.mkdir()
    (evil / "null").symlink_to("/proc/sys/kernel/core_pattern")
    bundle.spec["mounts"] = [
        each for each in bundle.spec["mounts"] if not each["destination"].startswith("/dev")
    ]
    bundle.mount("/dev", "bind", str(evil), "rbind")
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()

    result = runtime.run(bundle)

    assert result.returncode == 1
    assert "can't mask paths" in runtime.last_error()
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern


def test_a_terminal_from_a_false_devpts_is_refused(runtime: Runtime, bundle: Bundle, canary: Path) -> None:
    """CVE-2025-52565: what exec finds at /dev/pts may be the container's own invention."""
    bundle.spec["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted"), ALL_CAPABILITIES
    )
    bundle.command(
        "sh", "-c", "umount /dev/pts; ln -s /proc/sys/kernel/core_pattern /dev/pts/ptmx; echo up; sleep 60"
    )
    runtime.create(bundle)
    runtime("start", "c")
    while runtime.output() != "up\n":
        assert runtime.state()["status"] == "running"

    result = runtime("exec", "--tty", "c", "true", stdin=subprocess.DEVNULL)

    assert result.returncode == 255
    assert "not a devpts" in runtime.last_error()


def test_a_process_that_joins_cannot_be_looked_into(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2016-9962: its descriptors and memory belong to the host until execve."""
    bundle.spec["process"]["capabilities"]["effective"] = bundle.spec["process"]["capabilities"]["permitted"]
    bundle.command(
        "sh",
        "-c",
        "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || "
        "for l in $p/exe $p/fd/*; do readlink $l 2>/dev/null; done; done; done"
        " | grep -v -e busybox -e pipe: -e null -e /proc",
    )
    runtime.create(bundle)
    runtime("start", "c")

    for _ in range(10):
        runtime("exec", "c", "true")

    assert "python" not in runtime.output()
    assert "socket" not in runtime.output()


@pytest.mark.parametrize(
    "user", ["-1", "4294967295", "4294967296", "1000:4294967297", "+1", "1e3", "٣", " 1", "", "root"]
)
def test_a_user_that_is_not_a_number_is_refused(runtime: Runtime, bundle: Bundle, user: str) -> None:
    """CVE-2024-40635, CVE-2016-3697: nothing that is not digits becomes somebody, least of all root."""
    (bundle.rootfs / "etc/passwd").write_text("".join(f"{user}:x:0:0::/:/bin/sh\n" for _ in range(1)))
    bundle.command("sleep", "60")
    runtime.create(bundle)
    runtime("start", "c")

    result = runtime("exec", "--user", user, "c", "id", "-u")

    assert result.returncode == 255
    assert result.stdout == ""


@pytest.mark.parametrize("uid", [-1, 1 << 32, (1 << 32) - 1, "0", 1.5, True])
def test_a_configured_user_out_of_range_is_refused(runtime: Runtime, bundle: Bundle, uid: object) -> None:
    bundle.spec["process"]["user"]["uid"] = uid

    assert runtime.run(bundle).returncode == 1


def test_a_passwd_file_that_blocks_or_never_ends_does_not_delay_a_start(
    runtime: Runtime, bundle: Bundle
) -> None:
    passwd = bundle.rootfs / "etc/passwd"
    bundle.command("sh", "-c", "echo $HOME")
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), _write_large):
        passwd.unlink()
        make(passwd)

        result = runtime.run(bundle, name=f"c{passwd.lstat().st_size}", timeout=5)

        assert result.stdout == "/\n"


def test_the_environment_of_the_host_is_not_seen_by_hooks_or_container(
    runtime: Runtime, bundle: Bundle
) -> None:
    """CVE-2025-23266: a hook gets what the configuration gives it."""
    output = bundle.path / "seen"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"env > {output}; pwd >> {output}"], "env": ["ONLY=this"]}
    bundle.spec["hooks"] = {"createRuntime": [hook]}
    bundle.spec["process"]["env"].append("LD_PRELOAD=/x.so")

    runtime.run(bundle, env={"PATH": os.environ["PATH"], "SECRET": "s"})

    seen = output.read_text()
    assert "ONLY=this" in seen
    assert "SECRET" not in seen
    assert "LD_PRELOAD" not in seen
    assert seen.splitlines()[-1] == "/"


def _write_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)
