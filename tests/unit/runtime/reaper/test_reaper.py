"""The init program: run as a plain process; for arm64 its words, decoded."""

import platform
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

from wherry.errors import Unsupported
from wherry.runtime.reaper import arm64, build, x86_64
from wherry.runtime.reaper.machine import A0, A1, S0, S1, S2, S3, S4, S5, SP, Assembler, R, T, U
from wherry.runtime.reaper.program import write_program

needs_own_machine = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="no init program for this architecture"
)


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "docker-init"
    path.write_bytes(build(platform.machine()))
    path.chmod(0o755)
    return str(path)


def run(program: str, *args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=10, **options)  # type: ignore[call-overload, no-any-return]


@needs_own_machine
@pytest.mark.parametrize("dashes", [["--"], []])
@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_it_ends_with_the_commands_exit_code(program: str, dashes: list[str], code: int) -> None:
    assert run(program, *dashes, "sh", "-c", f"exit {code}").returncode == code


@needs_own_machine
@pytest.mark.parametrize("number", [9, 15, 11, 6])
def test_it_ends_with_128_and_the_signal_that_ended_the_command(program: str, number: int) -> None:
    assert run(program, "--", "sh", "-c", f"ulimit -c 0; kill -{number} $$").returncode == 128 + number


@needs_own_machine
@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        ("nope", 127, "docker-init: exec nope: No such file or directory\n"),
        ("/nope", 127, "docker-init: exec /nope: No such file or directory\n"),
        ("/etc/passwd", 126, "docker-init: exec /etc/passwd: Permission denied\n"),
        ("/etc", 126, "docker-init: exec /etc: Permission denied\n"),
        ("x" * 5000, 127, None),
    ],
)
def test_a_command_that_cannot_be_executed_ends_it(
    program: str, command: str, code: int, text: str | None
) -> None:
    result = run(program, "--", command)

    assert result.returncode == code
    assert text is None or result.stderr == text


@needs_own_machine
def test_without_a_command_it_says_how_to_use_it(program: str) -> None:
    for args in ([], ["--"]):
        result = run(program, *args)

        assert result.returncode == 1
        assert result.stderr.startswith("Usage: docker-init")


@needs_own_machine
def test_the_command_is_searched_in_path(program: str, tmp_path: Path) -> None:
    for directory, mode in (("a", 0o644), ("b", 0o755)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "tool").write_text("#!/bin/sh\necho $0\n")
        (tmp_path / directory / "tool").chmod(mode)
    path = f"/absent:{'x' * 5000}:{tmp_path}/a:{tmp_path}/b"

    found = run(program, "--", "tool", env={"A": "b", "PATH": path})
    denied = run(program, "--", "tool", env={"PATH": f"{tmp_path}/a"})
    default = run(program, "--", "sh", "-c", "echo found", env={})
    here = run(program, "--", "tool", env={"PATH": ":/absent"}, cwd=tmp_path / "b")

    assert found.stdout == f"{tmp_path}/b/tool\n"
    assert denied.returncode == 126
    assert default.stdout == "found\n"
    assert here.stdout == "./tool\n"


@needs_own_machine
def test_arguments_and_environment_arrive(program: str) -> None:
    result = run(
        program, "--", "sh", "-c", 'echo "$A|$1|$2"', "0", "one two", "", env={"A": "b", "PATH": "/bin"}
    )

    assert result.stdout == "b|one two|\n"


@needs_own_machine
def test_signals_reach_the_command(program: str) -> None:
    script = "trap 'echo got; exit 5' USR1; echo up; while :; do sleep 0.02; done"
    process = subprocess.Popen([program, "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    process.send_signal(signal.SIGUSR1)

    assert process.stdout.readline() == "got\n"
    assert process.wait(5) == 5
    process.stdout.close()


@needs_own_machine
def test_the_command_begins_with_the_mask_it_was_given(program: str) -> None:
    result = run(program, "--", "grep", "^Sig[BI]", "/proc/self/status")

    assert {int(line.split()[1], 16) for line in result.stdout.splitlines()[:1]} == {0}


@needs_own_machine
def test_orphans_are_reaped(program: str) -> None:
    """As the subreaper of its children, in place of the first process of a pid namespace."""
    script = "(sleep 0.05 & sleep 0.05 & exec sleep 0.05) & echo up; exec sleep 5"
    code = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [shutil.which("python3") or "python3", "-c", code, program, "--", "sh", "-c", script],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    deadline = time.monotonic() + 5
    while len(children := _children(process.pid)) != 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    process.wait(5)
    process.stdout.close()

    assert len(children) == 1


@needs_own_machine
def test_it_is_static_small_and_has_no_executable_stack(program: str) -> None:
    content = Path(program).read_bytes()

    assert len(content) < 4096
    kinds = [struct.unpack_from("<I", content, 64 + 56 * index)[0] for index in range(2)]
    flags = [struct.unpack_from("<I", content, 64 + 56 * index + 4)[0] for index in range(2)]
    assert kinds == [1, 0x6474E551]
    assert flags == [5, 6]


def test_an_architecture_without_assembler_is_refused() -> None:
    with pytest.raises(Unsupported, match="riscv64"):
        build("riscv64")


def test_a_label_stands_once() -> None:
    assembler = Assembler()
    assembler.label("here")

    with pytest.raises(ValueError, match="twice"):
        assembler.label("here")


# The words that another assembler makes of the same instructions.
ARM64 = {
    "ldr x20, [sp]": (lambda to: to.load(S1, SP), "f40340f9"),
    "ldr x23, [sp, #16]": (lambda to: to.load(S4, SP, 16), "f70b40f9"),
    "str x10, [x19, #24]": (lambda to: to.store(T, S0, 24), "6a0e00f9"),
    "ldrb w10, [x24, #2]": (lambda to: to.load_byte(T, S5, 2), "0a0b4039"),
    "strb w10, [x22]": (lambda to: to.store_byte(T, S3), "ca020039"),
    "lsl x20, x20, #3": (lambda to: to.shift_left(S1, 3), "94f27dd3"),
    "lsr x0, x0, #57": (lambda to: to.shift_right(A0, 57), "00fc79d3"),
    "add x20, sp, x20": (lambda to: to.add_register(S1, SP), "f463348b"),
    "add x20, x20, #16": (lambda to: to.add(S1, 16), "94420091"),
    "sub x11, x11, #1": (lambda to: to.add(U, -1), "6b0500d1"),
    "mov x19, sp": (lambda to: to.copy(S0, SP), "f3030091"),
    "neg x9, x9": (lambda to: to.negate(R), "e90309cb"),
    "mov x0, #17": (lambda to: to.set(A0, 17), "200280d2"),
    "mov x8, #94; svc #0; add x9, x0, #0": (lambda to: to.system("exit_group"), "c80b80d2010000d409000091"),
    "cmp x9, #17; b.eq #-4": (lambda to: (to.label("a"), to.go_if(R, "==", 17, "a")), "3f4500f1e0ffff54"),
    "cmp x9, x21; b.eq #-4": (lambda to: (to.label("a"), to.go_if_same(R, S2, "a")), "3f0115ebe0ffff54"),
    "b #0": (lambda to: (to.label("a"), to.go("a")), "00000014"),
    "adr x1, #4": (lambda to: (to.address(A1, "a"), to.label("a")), "21000010"),
}


@pytest.mark.parametrize("meaning", ARM64)
def test_an_instruction_for_arm64_has_the_right_word(meaning: str) -> None:
    instruction, word = ARM64[meaning]
    to = arm64.Assembler()

    instruction(to)

    assert to.finish().hex() == word


def test_both_architectures_get_the_same_listing() -> None:
    calls = {}
    for name, assembler in (("x86_64", x86_64.Assembler), ("arm64", arm64.Assembler)):

        class Recorder(assembler):  # type: ignore[misc, valid-type]
            made: list[str] = []

            def system(self, name: str) -> None:
                self.made = [*self.made, name]
                super().system(name)

        to = Recorder()
        write_program(to)
        calls[name] = to.made

    assert calls["x86_64"] == calls["arm64"]
    assert set(calls["arm64"]) == set(arm64.Assembler.SYSTEM_CALLS) == set(x86_64.Assembler.SYSTEM_CALLS)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
