"""Routes about the engine itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from wherry.daemon import answers
from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.engine.system.auth import authenticate
from wherry.engine.system.events import subscribe_events
from wherry.engine.system.info import system_info
from wherry.engine.system.version import version_info
from wherry.web.messages import Response

routes = Router()

_PING = [
    ("Builder-Version", "2"),
    ("Swarm", "inactive"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
]
_NEGOTIATED_SINCE = (1, 52)
_EVENT_TYPES = ("application/jsonl", "application/x-ndjson", "application/json-seq")
_RECORD_SEPARATOR = b"\x1e"


@routes.route("HEAD", "/_ping", before_version=True)
@routes.route("GET", "/_ping", before_version=True)
async def ping(_request: Request, _engine: Engine) -> Response:
    """Tell that the engine answers, and which API it speaks.

    Answers: 200.

    Spec: Docker Engine API, SystemPing.
    """
    return Response(200, [("Content-Type", "text/plain; charset=utf-8"), *_PING], b"OK")


@routes.get("/version")
async def version(request: Request, engine: Engine) -> Response:
    """Tell what runs here.

    Answers: 200.

    Spec: Docker Engine API, SystemVersion.
    """
    return answers.json(await version_info(engine, version=request.version))


@routes.get("/info")
async def info(request: Request, engine: Engine) -> Response:
    """Tell what this engine has and can.

    Answers: 200.

    Spec: Docker Engine API, SystemInfo.
    """
    return answers.json(await system_info(engine, version=request.version))


@routes.post("/auth", ends_with_client=True)
async def auth(request: Request, engine: Engine) -> Response:
    """Try credentials at their registry.

    Answers: 200 accepted, 401 refused.

    Spec: Docker Engine API, SystemAuth.
    """
    request.check_json()
    return answers.json(await authenticate(engine, await request.credentials()))


@routes.get("/events", ends_with_client=True)
async def events(request: Request, engine: Engine) -> Response:
    """Follow what happens, one JSON object a line, until the client leaves or `until` is reached.

    Query:
        since, until: Unix seconds with a fraction; `since` replays what is still kept.
        filters: see the events' filters.
    Answers: 200, 400 bad filter or times.

    Spec: Docker Engine API, SystemEvents.
    """
    stream = subscribe_events(
        engine,
        since=request.query.get("since") or None,
        until=request.query.get("until") or None,
        filters=request.filters(),
        version=request.version,
    )
    kind = _event_type(request)
    start = _RECORD_SEPARATOR if kind.endswith("json-seq") else b""
    return Response(200, [("Content-Type", kind)], _lines(stream, start))


def _event_type(request: Request) -> str:
    if request.version < _NEGOTIATED_SINCE:
        return answers.JSON
    accepted = [part.partition(";")[0].strip() for part in request.headers.get("accept").split(",")]
    return next((kind for kind in accepted if kind in _EVENT_TYPES), _EVENT_TYPES[0])


async def _lines(stream: AsyncIterator[Mapping[str, Any]], start: bytes) -> AsyncIterator[bytes]:
    async for event in stream:
        yield start + msgspec.json.encode(event) + b"\n"
