"""Hooks, as programs."""

import json
import time
from pathlib import Path

import pytest

from wherry.runtime.failures import InvalidSpec, StartFailed
from wherry.runtime.hooks import check_hooks, run_hooks, run_hooks_leniently, state_document

STATE = state_document("c", status="creating", pid=7, bundle="/b", annotations={"k": "v" * 100_000})


def shell(script: str, **more: object) -> dict[str, object]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


def test_a_hook_reads_a_state_larger_than_a_pipe(tmp_path: Path) -> None:
    run_hooks("prestart", [shell(f"cat > {tmp_path}/state")], STATE)

    assert json.loads((tmp_path / "state").read_text()) == STATE


@pytest.mark.parametrize("script", ["exec <&-; exit 0", "exit 0", "exec >&- 2>&-; sleep 0.05"])
def test_a_hook_need_not_read_or_write(script: str) -> None:
    run_hooks("prestart", [shell(script)], STATE)


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        (shell("echo words >&2; exit 3"), "error running prestart hook #0: exit status 3, stderr: words"),
        (shell("kill -9 $$"), "signal 9"),
        ({"path": "/absent"}, "fork/exec /absent: no such file or directory"),
        (shell("sleep 9", timeout=0.1), "deadline exceeded"),
        (shell("sleep 9 & echo; sleep 9", timeout=0.1), "deadline exceeded"),
    ],
)
def test_a_failure_says_what_happened(hook: dict[str, object], text: str) -> None:
    began = time.monotonic()

    with pytest.raises(StartFailed, match=text):
        run_hooks("prestart", [hook], STATE)

    assert time.monotonic() - began < 5


def test_hooks_run_in_order_and_stop_at_the_first_failure(tmp_path: Path) -> None:
    hooks = [
        shell(f"echo {name} >> {tmp_path}/log; {end}")
        for name, end in (("a", ":"), ("b", "exit 1"), ("c", ":"))
    ]

    with pytest.raises(StartFailed, match="hook #1"):
        run_hooks("createRuntime", hooks, STATE)
    assert (tmp_path / "log").read_text() == "a\nb\n"

    run_hooks_leniently("poststop", hooks, STATE)
    assert (tmp_path / "log").read_text() == "a\nb\na\nb\nc\n"


def test_a_hook_sees_only_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")

    run_hooks(
        "prestart",
        [{"path": "/usr/bin/env", "args": ["sh", "-c"]} | shell(f"env > {tmp_path}/e", env=["A=b"])],
        STATE,
    )

    assert "SECRET" not in (tmp_path / "e").read_text()
    assert "A=b\n" in (tmp_path / "e").read_text()


@pytest.mark.parametrize(
    "hooks", [{"whenever": [{"path": "/x"}]}, {"prestart": [{"path": "relative"}]}, {"prestart": [{}]}]
)
def test_a_hook_that_could_never_run_is_refused(hooks: dict[str, list[dict[str, object]]]) -> None:
    with pytest.raises(InvalidSpec):
        check_hooks(hooks)
