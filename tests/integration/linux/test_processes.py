"""Namespaces, rights, keyrings and filters, tried by processes that are then thrown away."""

import _socket
import ctypes
import errno
import os
import select
import signal
import struct

import pytest
from tests.integration.linux.forked import run_forked

from wherry.core.spec.capabilities import DEFAULT_CAPABILITIES
from wherry.core.spec.seccomp import default_profile, resolve
from wherry.linux import capabilities, keyring, libc, namespaces, process, seccomp, syscalls
from wherry.runtime import seccomp as compiler

X86 = libc.MACHINE == "x86_64"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces")

ALL = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWPID
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWUTS
    | namespaces.CLONE_NEWIPC
)


def test_a_child_is_born_in_all_its_namespaces() -> None:
    here = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net", "uts", "ipc")}

    def compare() -> object:
        assert os.getpid() == 1
        # /proc is still the one of the parent, where this process has another number.
        pid = os.readlink("/proc/self")
        return [kind for kind in here if os.readlink(f"/proc/{pid}/ns/{kind}") == here[kind]]

    assert run_forked(compare, ALL) == "[]"


def test_libc_knows_the_thread_id_of_a_child() -> None:
    def compare() -> object:
        known = ctypes.c_int.from_address(process._thread_id_address()).value
        return known == libc.syscall(
            "gettid", syscalls.X86_64["gettid"] if X86 else syscalls.AARCH64["gettid"]
        )

    assert run_forked(compare, namespaces.CLONE_NEWPID) == "True"


def test_the_loopback_comes_up() -> None:
    def connect() -> object:
        namespaces.bring_loopback_up()
        listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        client.connect(listener.getsockname())
        return "connected"

    assert run_forked(connect, namespaces.CLONE_NEWNET) == "connected"


def test_a_pidfd_leads_into_several_namespaces_at_once() -> None:
    pid, pidfd = process.clone3(ALL)
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:

        def join() -> object:
            namespaces.setns(pidfd, namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWNET)
            same = os.readlink("/proc/self/ns/net") == os.readlink(f"/proc/{pid}/ns/net")
            other = os.readlink("/proc/self/ns/ipc") != os.readlink(f"/proc/{pid}/ns/ipc")
            return same and other

        assert run_forked(join) == "True"
    finally:
        process.pidfd_send_signal(pidfd, signal.SIGKILL)
        process.wait_pidfd(pidfd)
        os.close(pidfd)


def test_unsharing_gives_a_namespace_of_its_own() -> None:
    def unshare() -> object:
        before = os.readlink("/proc/self/ns/uts")
        namespaces.unshare(namespaces.CLONE_NEWUTS)
        return before != os.readlink("/proc/self/ns/uts")

    assert run_forked(unshare) == "True"


def test_capabilities_are_given_up_for_good() -> None:
    def give_up() -> object:
        keep = {"CAP_CHOWN", "CAP_KILL"}
        capabilities.drop_bounding(keep)
        capabilities.set_sets(keep, keep, {"CAP_KILL"})
        capabilities.set_ambient(["CAP_KILL"])
        with pytest.raises(PermissionError):
            capabilities.set_sets(keep, keep | {"CAP_SYS_ADMIN"}, ())
        sets = capabilities.current()
        assert sets["bounding"] == sets["effective"] == sets["permitted"] == keep
        assert sets["inheritable"] == sets["ambient"] == {"CAP_KILL"}
        with open("/proc/self/status") as file:
            return next(line for line in file if line.startswith("CapBnd")).split()[1]

    assert int(run_forked(give_up), 16) == 1 << 0 | 1 << 5


def test_each_session_has_its_own_keyring() -> None:
    def join() -> object:
        first = keyring.join_session_keyring(None)
        second = keyring.join_session_keyring(None)
        named = keyring.join_session_keyring("wherry-test")
        return len({first, second, named})

    assert run_forked(join) == "3"


def test_descriptors_are_closed_in_one_call() -> None:
    def close() -> object:
        for _ in range(5):
            os.open("/dev/null", os.O_RDONLY)
        write = max(map(int, os.listdir("/proc/self/fd")))
        process.close_range(write - 3, write + 100)
        return write - 3 in map(int, os.listdir("/proc/self/fd")[:-1])

    assert run_forked(close) == "False"


def test_a_program_that_is_none_is_refused() -> None:
    for program in (b"", b"123", bytes(8 * 4097), struct.pack("HBBI", 0xFFFF, 0, 0, 0)):
        with pytest.raises(OSError, match="seccomp") as failure:
            seccomp.install(program)
        assert failure.value.errno == errno.EINVAL


def under_the_default_filter(number: int, *arguments: int) -> int:
    """The errno of a call under the default profile; 0 when it succeeds."""
    section = resolve(default_profile(), capabilities=DEFAULT_CAPABILITIES, arch=libc.MACHINE, kernel=(6, 0))
    program = compiler.compile(section)

    def call() -> object:
        seccomp.install(program, flags=compiler.install_flags(section))
        with open("/proc/self/status") as file:
            assert "Seccomp:\t2\n" in file
        try:
            libc.syscall("call", number, *arguments)
        except OSError as error:
            return error.errno
        return 0

    return int(run_forked(call))


@pytest.mark.skipif(not X86, reason="needs the numbers of x86-64")
@pytest.mark.parametrize(
    ("name", "number", "arguments", "expected"),
    [
        ("getpid", 39, (), 0),
        ("socket AF_INET", 41, (2, 1, 0), 0),
        ("socket AF_ALG", 41, (38, 5, 0), errno.EPERM),
        ("socket AF_VSOCK", 41, (40, 1, 0), errno.EPERM),
        ("socket AF_ALG with a bit above", 41, (1 << 32 | 38, 5, 0), errno.EPERM),
        ("x32 socket AF_ALG", 0x40000000 + 41, (38, 5, 0), errno.EPERM),
        ("unshare", 272, (0x10000000,), errno.EPERM),
        ("clone with a namespace", 56, (0x10000011, 0, 0, 0, 0), errno.EPERM),
        ("clone3", 435, (0, 0), errno.ENOSYS),
        ("io_uring_setup", 425, (1, 0), errno.EPERM),
        ("userfaultfd", 323, (0,), errno.EPERM),
        ("bpf", 321, (0, 0, 0), errno.EPERM),
        ("keyctl", 250, (0, 0, 0), errno.EPERM),
        ("a call of the future", 500, (), errno.ENOSYS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_kernel_applies_the_default_profile(
    name: str, number: int, arguments: tuple[int, ...], expected: int
) -> None:
    assert under_the_default_filter(number, *arguments) == expected


@pytest.mark.skipif(not X86, reason="needs int 0x80")
@pytest.mark.parametrize(
    ("call", "first", "expected"),
    [
        (102, 1, errno.EPERM),
        (359, 38, errno.EPERM),
        (359, 40, errno.EPERM),
        (20, 0, 0),
        (310, 0, errno.EPERM),
    ],
    ids=["socketcall", "socket AF_ALG", "socket AF_VSOCK", "getpid", "unshare"],
)
def test_the_32_bit_door_is_guarded_too(call: int, first: int, expected: int) -> None:
    import mmap

    # push rbx; mov eax, edi; mov ebx, esi; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; ret
    machine_code = bytes.fromhex("53 89f8 89f3 31c9 31d2 cd80 5b c3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(machine_code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    enter = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint32)(address)
    section = resolve(default_profile(), capabilities=DEFAULT_CAPABILITIES, arch="x86_64", kernel=(6, 0))
    program = compiler.compile(section)

    def try_it() -> object:
        seccomp.install(program)
        return enter(call, first)

    result = int(run_forked(try_it))

    if result == -errno.ENOSYS and expected == 0:
        pytest.skip("needs a kernel with 32-bit emulation")
    assert result == -expected if expected else result > 0


def test_children_are_found_and_zombies_are_among_them() -> None:
    pid, pidfd = process.clone3(0)
    if pid == 0:
        os._exit(0)
    select.select([pidfd], [], [], 10)  # it has ended, and nobody has reaped it

    found = process.children(os.getpid())

    process.wait_pidfd(pidfd)
    os.close(pidfd)
    assert pid in found
    assert pid not in process.children(os.getpid())
