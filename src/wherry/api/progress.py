"""Records of the progress streams of pull, push, load, import and build: one JSON object a line.

The status of such an answer is sent before its work is done, so a failure that comes later is the last
record.  Clients read that one and nothing else.

Spec: Docker Engine API, ImageCreate, ImagePush; moby's jsonmessage.
"""

from __future__ import annotations

from collections.abc import Mapping

Record = dict[str, object]


def status(text: str, *, id: str = "", current: int | None = None, total: int | None = None) -> Record:
    """What is happening to `id`, with bytes done and expected where they are known."""
    record: Record = {"status": text}
    if current is not None or total is not None:
        detail = {"current": current, "total": total}
        record["progressDetail"] = {name: value for name, value in detail.items() if value is not None}
    elif id:
        record["progressDetail"] = {}
    if id:
        record["id"] = id
    return record


def stream(text: str) -> Record:
    """A piece of output for people, with its line feed."""
    return {"stream": text}


def aux(value: Mapping[str, object]) -> Record:
    """A result for programs, such as the digest of what was pushed."""
    return {"aux": dict(value)}


def failure(message: str, *, code: int | None = None) -> Record:
    """The last record of a stream that failed."""
    detail: Record = {"message": message} if code is None else {"code": code, "message": message}
    return {"errorDetail": detail, "error": message}
