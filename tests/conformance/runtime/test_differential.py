"""The same bundles through runc and through wherry-runtime: what can be observed must be equal.

`TARGET=reference` runs runc against itself, which shows that the suite asks for nothing runc does not do.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.runtime.conftest import LAUNCHER, MASKED, PROGRAM, Bundle, Runtime, Spec, docker_spec

RUNC = shutil.which("runc")
pytestmark = pytest.mark.skipif(RUNC is None, reason="runc is not installed")

Observed = Any
Change = Callable[[Spec], None]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Runtime, Runtime]]:
    """The reference and the runtime under test."""
    if os.geteuid():
        pytest.skip("needs root")
    ours = RUNC if os.environ.get("TARGET") == "reference" else str(LAUNCHER)
    runtimes = []
    for name, program in (("reference", RUNC), ("ours", ours)):
        (tmp_path / name).mkdir()
        runtimes.append(Runtime([str(program)], tmp_path / name / "state", tmp_path / name / "log"))
    yield runtimes[0], runtimes[1]
    for each in runtimes:
        each.clean()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "bundle").mkdir()
    return Bundle(tmp_path / "bundle")


def both(
    pair: tuple[Runtime, Runtime],
    bundle: Bundle,
    observe: Callable[[subprocess.CompletedProcess[str], Runtime], Observed],
) -> tuple[Observed, Observed]:
    """What is observed of one bundle, run by each."""
    seen = []
    spec = bundle.spec
    for runtime in pair:
        bundle.spec = copy.deepcopy(spec)
        seen.append(observe(runtime.run(bundle), runtime))
    bundle.spec = spec
    return seen[0], seen[1]


def mounts(text: str) -> dict[str, tuple[str, frozenset[str], str]]:
    """Mountpoint to type, options and propagation; what numbers the kernel gave is no property.

    Two differences are meant, and hidden here: the empty tmpfs over a masked directory has more
    restrictions than runc's, and the tmpfs that holds the v1 hierarchies is read-only where it is asked
    to be, where runc leaves it writable.
    """
    table = {}
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        fields = head.split()
        shared = " ".join(word.partition(":")[0] for word in fields[6:])
        options = set(fields[5].split(","))
        if fields[4] in MASKED:
            options -= {"nosuid", "nodev", "noexec"}
        elif fields[4] == "/sys/fs/cgroup":
            options -= {"ro", "rw"}
        table[fields[4]] = (tail.split()[0], frozenset(options), shared)
    return table


def lines_of_status(text: str) -> dict[str, str]:
    wanted = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "NoNewPrivs", "Seccomp", "Cap")
    rows = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in rows if key.startswith(wanted)}


def cause(runtime: Runtime) -> str:
    """The bare cause, without what each runtime puts around it."""
    message = runtime.last_error()
    message = message.rpartition("unable to start container process: ")[2]
    return message.removeprefix("error during container init: ")


SPECS: dict[str, Change] = {
    "plain": lambda spec: None,
    "no mounts but proc": lambda spec: spec.update(mounts=spec["mounts"][:1]),
    "read-only root": lambda spec: spec["root"].update(readonly=True),
    "user": lambda spec: spec["process"].update(user={"uid": 1000, "gid": 7, "additionalGids": [7, 8]}),
    "umask": lambda spec: spec["process"]["user"].update(umask=0o077),
    "no new privileges": lambda spec: spec["process"].update(noNewPrivileges=True),
    "no capabilities": lambda spec: spec["process"].update(capabilities={}),
    "ambient": lambda spec: spec["process"].update(
        capabilities={
            kind: ["CAP_CHOWN", "CAP_KILL"]
            for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")
        }
    ),
    "unknown capability": lambda spec: spec["process"]["capabilities"]["bounding"].append("CAP_UNKNOWN"),
    "host network": lambda spec: spec["linux"]["namespaces"].pop(1),
    "host pid": lambda spec: spec["linux"]["namespaces"].pop(3),
    "no cgroup namespace": lambda spec: spec["linux"]["namespaces"].pop(),
    "nothing masked": lambda spec: spec["linux"].update(maskedPaths=[], readonlyPaths=[]),
    "working directory that is missing": lambda spec: spec["process"].update(cwd="/not/there/yet"),
    "limits": lambda spec: spec["process"].update(
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]
    ),
    "sysctl": lambda spec: spec["linux"].update(sysctl={"net.ipv4.ip_unprivileged_port_start": "1"}),
    "propagation": lambda spec: spec["linux"].update(rootfsPropagation="rprivate"),
    "tmpfs": lambda spec: spec["mounts"].append(
        {
            "destination": "/t",
            "type": "tmpfs",
            "source": "t",
            "options": ["ro", "nosuid", "size=8k", "mode=711"],
        }
    ),
    "bind with options": lambda spec: spec["mounts"].append(
        {"destination": "/b", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "nodev", "rslave"]}
    ),
    "device": lambda spec: spec["linux"].update(
        devices=[
            {
                "path": "/dev/fuse",
                "type": "c",
                "major": 10,
                "minor": 229,
                "fileMode": 0o600,
                "uid": 3,
                "gid": 4,
            }
        ]
    ),
    "seccomp": lambda spec: spec["linux"].update(
        seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}],
        }
    ),
}
SCRIPT = (
    "cat /proc/self/status; echo ==; cat /proc/self/mountinfo; echo ==; cat /proc/self/limits; "
    "echo ==; env; echo ==; stat -c '%n %F %a %u %g %t %T' /dev/* /dev/pts/ptmx; echo ==; "
    "pwd; hostname; umask; hostname new; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; "
    "cat /proc/self/oom_score_adj; echo ==; ls /proc/self/fd | wc -l; "
    "for f in /dev/fd /dev/stdin /dev/ptmx /dev/core; do readlink $f; done"
)


@pytest.mark.parametrize("name", SPECS)
def test_a_process_finds_the_same(pair: tuple[Runtime, Runtime], bundle: Bundle, name: str) -> None:
    bundle.spec = docker_spec("sh", "-c", SCRIPT)
    SPECS[name](bundle.spec)

    def observe(result: subprocess.CompletedProcess[str], runtime: Runtime) -> Observed:
        status, mountinfo, *rest = result.stdout.split("==\n")
        found = lines_of_status(status)
        return result.returncode, found, mounts(mountinfo), [sorted(part.splitlines()) for part in rest]

    reference, ours = both(pair, bundle, observe)

    assert reference[1]
    assert ours == reference


FAILURES: dict[str, Change] = {
    "not in path": lambda spec: spec["process"].update(args=["nope"]),
    "absolute path absent": lambda spec: spec["process"].update(args=["/nope"]),
    "not executable": lambda spec: spec["process"].update(args=["/etc/passwd"]),
    "without path": lambda spec: spec["process"].update(env=["A=b"]),
    "user may not execute": lambda spec: spec["process"].update(
        args=["/etc/passwd"], user={"uid": 1000, "gid": 1000}
    ),
    "limit above what may be": lambda spec: spec["process"].update(
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 2**40, "hard": 2**40}]
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_the_same_words(pair: tuple[Runtime, Runtime], bundle: Bundle, name: str) -> None:
    FAILURES[name](bundle.spec)

    reference, ours = both(
        pair, bundle, lambda result, runtime: (result.returncode, _last_part(cause(runtime)))
    )

    assert ours == reference


def _last_part(text: str) -> str:
    # runc 1.1 and later differ in what goes before the limits' words.
    return re.sub("^error setting rlimits for ready process: ", "", text)


@pytest.mark.parametrize("command", ["exit 0", "exit 7", "kill -9 $$", "kill -15 $$"])
def test_a_program_ends_with_the_same_code(
    pair: tuple[Runtime, Runtime], bundle: Bundle, command: str
) -> None:
    bundle.command("sh", "-c", f"({command}); {command}")

    reference, ours = both(pair, bundle, lambda result, _: result.returncode)

    assert ours == reference


EXECS = {
    "user and group": (["--user", "1000:7"], ["cat", "/proc/self/status"]),
    "more groups": (["--user", "5", "--additional-gids", "9"], ["cat", "/proc/self/status"]),
    "directory": (["--cwd", "/tmp"], ["pwd"]),
    "environment": (["--env", "A=b"], ["env"]),
    "not there": ([], ["nope"]),
    "absent directory": (["--cwd", "/absent"], ["true"]),
    "exit code": ([], ["sh", "-c", "exit 9"]),
    "killed": ([], ["sh", "-c", "kill -9 $$"]),
}


@pytest.mark.parametrize("name", EXECS)
def test_exec_does_the_same(pair: tuple[Runtime, Runtime], bundle: Bundle, name: str) -> None:
    flags, command = EXECS[name]
    bundle.command("sleep", "60")
    seen = []
    for runtime in pair:
        spec = copy.deepcopy(bundle.spec)
        assert runtime.create(bundle).returncode == 0
        runtime("start", "c")
        result = runtime("exec", *flags, "c", *command)
        is_status = "status" in "".join(command)
        output = lines_of_status(result.stdout) if is_status else sorted(result.stdout.splitlines())
        failed = result.returncode == 255
        seen.append((result.returncode, output, cause(runtime) if failed else ""))
        runtime("delete", "--force", "c")
        bundle.spec = spec

    assert seen[1] == seen[0]


def test_states_go_the_same_way(pair: tuple[Runtime, Runtime], bundle: Bundle) -> None:
    bundle.command("sh", "-c", "sleep 60")
    seen = []
    for runtime in pair:
        runtime.create(bundle)
        steps = [_outline(runtime)]
        for words in (["start", "c"], ["pause", "c"], ["resume", "c"], ["resume", "c"], ["delete", "c"]):
            code = runtime(*words).returncode
            steps.append((words[0], code, _outline(runtime)))
        runtime("delete", "--force", "c")
        steps.append(
            (runtime("state", "c").returncode, runtime("kill", "c").stderr.rpartition("=")[2].strip(' "\n'))
        )
        seen.append(steps)

    assert seen[1] == seen[0]


def _outline(runtime: Runtime) -> tuple[str, list[str]]:
    state = runtime.state()
    return state["status"], sorted(state.keys() - {"annotations"})


def test_the_configuration_we_write_runs_on_both(pair: tuple[Runtime, Runtime], bundle: Bundle) -> None:
    subprocess.run([*PROGRAM, "spec", "--bundle", str(bundle.path)], check=True, timeout=30)
    bundle.spec = json.loads((bundle.path / "config.json").read_text())
    bundle.spec["process"] |= {"terminal": False, "args": ["sh", "-c", "hostname; id -u"]}

    reference, ours = both(pair, bundle, lambda result, _: (result.returncode, result.stdout))

    assert ours == reference == (0, "wherry\n0\n")
