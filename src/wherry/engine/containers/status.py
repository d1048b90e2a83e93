"""A container's state in words, as `ps` and inspect say it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wherry.engine.times import human_duration, rfc3339

if TYPE_CHECKING:
    from wherry.engine.containers.container import Container


def status_text(container: Container, *, now_ns: int | None = None) -> str:
    """The STATUS column: "Up 2 minutes (Paused)", "Exited (0) About an hour ago"."""
    state = container.record.state
    now = time.time_ns() if now_ns is None else now_ns
    status = container.status
    if status in {"running", "paused"}:
        text = f"Up {human_duration(now - state.started_at_ns)}"
        return f"{text} (Paused)" if status == "paused" else text
    if status == "restarting":
        return f"Restarting ({state.exit_code}) {human_duration(now - state.finished_at_ns)} ago"
    if status == "removing":
        return "Removal In Progress"
    if status == "dead":
        return "Dead"
    if status == "created":
        return "Created"
    if state.finished_at_ns == 0:
        return ""
    return f"Exited ({state.exit_code}) {human_duration(now - state.finished_at_ns)} ago"


def state_to_wire(container: Container) -> dict[str, Any]:
    """The `State` member of inspect.

    Health is left out: no probe runs, so there is no health to tell of.
    """
    state = container.record.state
    status = container.status
    return {
        "Status": status,
        "Running": status in {"running", "paused", "restarting"},
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_at_ns),
        "FinishedAt": rfc3339(state.finished_at_ns),
    }
