"""Routes of containers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any

import msgspec

from wherry.api.errors import status_of
from wherry.api.types import ContainerCreateRequest
from wherry.daemon import answers
from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.diagnostics.logs import log
from wherry.engine.containers.attach import attach_container
from wherry.engine.containers.create import create_container
from wherry.engine.containers.inspect import inspect_container
from wherry.engine.containers.kill import kill_container
from wherry.engine.containers.list import list_containers
from wherry.engine.containers.logs import container_logs
from wherry.engine.containers.pause import pause_container, unpause_container
from wherry.engine.containers.prune import prune_containers
from wherry.engine.containers.remove import remove_container
from wherry.engine.containers.rename import rename_container
from wherry.engine.containers.resize import resize_container
from wherry.engine.containers.restart import restart_container
from wherry.engine.containers.start import start_container
from wherry.engine.containers.stop import stop_container
from wherry.engine.containers.top import top_container
from wherry.engine.containers.wait import wait_container
from wherry.engine.engine import Engine
from wherry.errors import InvalidArgument, WherryError
from wherry.web.messages import Hijack, Response

routes = Router()


@routes.get("/containers/json")
async def container_list(request: Request, engine: Engine) -> Response:
    """List containers.

    Query:
        all: stopped ones too; running ones only by default.
        limit: the newest so many, in whatever state.
        size: with what each has written.
        filters: see the containers' filters.
    Answers: 200, 400 bad filter.

    Spec: Docker Engine API, ContainerList.
    """
    summaries = await list_containers(
        engine,
        all=request.boolean("all"),
        limit=request.integer("limit") or 0,
        size=request.boolean("size"),
        filters=request.filters(),
        version=request.version,
    )
    return answers.json(summaries)


@routes.post("/containers/create")
async def container_create(request: Request, engine: Engine) -> Response:
    """Create a container without starting it.

    Query:
        name: its name; a random one by default.
        platform: `os/arch/variant` to take from the image.
    Answers: 201, 400 bad configuration, 404 no such image, 409 name in use.

    Spec: Docker Engine API, ContainerCreate.
    """
    body = await request.json(ContainerCreateRequest)
    created = await create_container(
        engine, body, name=request.query.get("name"), platform=request.query.get("platform")
    )
    return answers.json(created, status=201)


@routes.get("/containers/{id}/json")
async def container_inspect(request: Request, engine: Engine) -> Response:
    """Show one container.

    Query:
        size: with what it has written.
    Answers: 200, 404 no such container.

    Spec: Docker Engine API, ContainerInspect.
    """
    size = request.boolean("size")
    return answers.json(
        await inspect_container(engine, request.path["id"], size=size, version=request.version)
    )


@routes.get("/containers/{id}/top")
async def container_top(request: Request, engine: Engine) -> Response:
    """Show the processes of a container as ps does.

    Query:
        ps_args: for the host's ps; `-ef` by default.
    Answers: 200, 404 no such container, 409 not running, 500 ps refuses.

    Spec: Docker Engine API, ContainerTop.
    """
    return answers.json(await top_container(engine, request.path["id"], request.query.get("ps_args")))


@routes.post("/containers/{id}/start")
async def container_start(request: Request, engine: Engine) -> Response:
    """Start a container.

    Query:
        detachKeys: for attaches that give none.
        checkpoint: refused.
    Answers: 204 started, 304 already running, 400 its command cannot run, 404 no such container,
        409 paused or being removed, 500 devices of no driver are asked for, 501 from a checkpoint.

    Spec: Docker Engine API, ContainerStart.
    """
    if await request.http.body.read(16):
        raise InvalidArgument(
            "starting container with non-empty request body was deprecated since API v1.22 "
            "and removed in v1.24"
        )
    await start_container(
        engine,
        request.path["id"],
        detach_keys=request.query.get("detachKeys") or None,
        checkpoint=request.query.get("checkpoint"),
    )
    return answers.nothing()


@routes.post("/containers/{id}/stop")
async def container_stop(request: Request, engine: Engine) -> Response:
    """Stop a container, killing it after a grace time.

    Query:
        t: grace time, whole seconds; -1 waits forever; default the container's own.
        signal: sent first, name or number; default the container's own.
    Answers: 204 stopped, 304 already stopped, 404 no such container.

    Spec: Docker Engine API, ContainerStop.
    """
    await stop_container(engine, request.path["id"], **_how_to_stop(request))
    return answers.nothing()


@routes.post("/containers/{id}/restart")
async def container_restart(request: Request, engine: Engine) -> Response:
    """Stop a container, if it runs, and start it.

    Query:
        t, signal: as for stop.
    Answers: 204 restarted, 404 no such container.

    Spec: Docker Engine API, ContainerRestart.
    """
    await restart_container(engine, request.path["id"], **_how_to_stop(request))
    return answers.nothing()


def _how_to_stop(request: Request) -> dict[str, Any]:
    return {"signal": request.query.get("signal") or None, "timeout_s": request.integer("t")}


@routes.post("/containers/{id}/kill")
async def container_kill(request: Request, engine: Engine) -> Response:
    """Send a signal to a container's first process.

    Query:
        signal: name or number; SIGKILL by default.
    Answers: 204 sent, 400 no such signal, 404 no such container, 409 not running.

    Spec: Docker Engine API, ContainerKill.
    """
    await kill_container(engine, request.path["id"], signal=request.query.get("signal") or "SIGKILL")
    return answers.nothing()


@routes.post("/containers/{id}/pause")
async def container_pause(request: Request, engine: Engine) -> Response:
    """Freeze every process of a container.

    Answers: 204 frozen, 404 no such container, 409 not running or already paused.

    Spec: Docker Engine API, ContainerPause.
    """
    await pause_container(engine, request.path["id"])
    return answers.nothing()


@routes.post("/containers/{id}/unpause")
async def container_unpause(request: Request, engine: Engine) -> Response:
    """Let a paused container go on.

    Answers: 204, 404 no such container, 500 not paused.

    Spec: Docker Engine API, ContainerUnpause.
    """
    await unpause_container(engine, request.path["id"])
    return answers.nothing()


@routes.post("/containers/{id}/rename")
async def container_rename(request: Request, engine: Engine) -> Response:
    """Give a container another name.

    Query:
        name: the new one.
    Answers: 204, 400 bad name, 404 no such container, 409 name in use.

    Spec: Docker Engine API, ContainerRename.
    """
    await rename_container(engine, request.path["id"], request.query.get("name"))
    return answers.nothing()


@routes.post("/containers/{id}/resize")
async def container_resize(request: Request, engine: Engine) -> Response:
    """Set the size of a container's terminal.

    Query:
        h, w: rows and columns.
    Answers: 200, 400 no size, 404 no such container, 409 not running.

    Spec: Docker Engine API, ContainerResize.
    """
    rows, columns = terminal_size(request)
    await resize_container(engine, request.path["id"], rows, columns)
    return answers.nothing(200)


def terminal_size(request: Request) -> tuple[int, int]:
    """Rows and columns in the parameters `h` and `w`."""
    rows, columns = request.integer("h"), request.integer("w")
    if rows is None or columns is None:
        raise InvalidArgument(f"invalid resize {'height' if rows is None else 'width'}: no number given")
    return rows, columns


@routes.post("/containers/{id}/wait", ends_with_client=True)
async def container_wait(request: Request, engine: Engine) -> Response:
    """Wait for a container to stop; the head of the answer comes at once, so that a start may follow.

    Query:
        condition: not-running, next-exit or removed; not-running by default.
    Answers: 200, 400 unknown condition, 404 no such container.

    Spec: Docker Engine API, ContainerWait.
    """
    outcome = await wait_container(
        engine, request.path["id"], condition=request.query.get("condition") or "not-running"
    )
    return Response(200, [("Content-Type", answers.JSON)], _outcome(outcome))


async def _outcome(outcome: Awaitable[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    try:
        result = await outcome
    except WherryError as error:
        result = {"StatusCode": -1, "Error": {"Message": str(error)}}
    yield msgspec.json.encode(result) + b"\n"


@routes.get("/containers/{id}/logs", ends_with_client=True)
async def container_logs_read(request: Request, engine: Engine) -> Response:
    """Read what a container has written, and follow it.

    Query:
        follow: go on until the container stops.
        stdout, stderr: which of the two; at least one.
        since, until: Unix seconds with a fraction.
        timestamps: put the time before each line.
        tail: so many lines from the end; all by default.
        details: put the log options' attributes before each line.
    Answers: 200, 400 neither stream or a bad time, 404 no such container, 501 a log driver that cannot read.

    Spec: Docker Engine API, ContainerLogs.
    """
    stdout, stderr = request.boolean("stdout"), request.boolean("stderr")
    if not (stdout or stderr):
        raise InvalidArgument("must specify at least one of 'stdout' or 'stderr'")
    stream = await container_logs(
        engine,
        request.path["id"],
        follow=request.boolean("follow"),
        stdout=stdout,
        stderr=stderr,
        since=request.query.get("since") or None,
        until=request.query.get("until") or None,
        timestamps=request.boolean("timestamps"),
        tail=request.query.get("tail") or "all",
        details=request.boolean("details"),
    )
    kind = answers.stream_type(request, tty=not stream.framed)
    return Response(200, [("Content-Type", kind)], stream.chunks)


@routes.post("/containers/{id}/attach")
async def container_attach(request: Request, engine: Engine) -> Response | Hijack:
    """Connect the client to a container's streams; also before it is started.

    Query:
        stream: follow what happens; logs: first what already did.
        stdin, stdout, stderr: which streams.
        detachKeys: the keys that end the attach and not the container.
    Answers: 101, or 200 without an upgrade; failures as text of the stream's type: 400, 404, 409.

    Spec: Docker Engine API, ContainerAttach.
    """
    try:
        attachment = await attach_container(
            engine,
            request.path["id"],
            stream=request.boolean("stream"),
            logs=request.boolean("logs"),
            stdin=request.boolean("stdin"),
            stdout=request.boolean("stdout"),
            stderr=request.boolean("stderr"),
            detach_keys=request.query.get("detachKeys") or None,
        )
    except WherryError as error:
        log("info", "attach refused", container=request.path["id"], error=error)
        return _as_text(error)
    return answers.hand_over(request, attachment.connect, tty=attachment.tty)


def _as_text(error: WherryError) -> Response:
    """A failed attach: the client already takes the connection for a stream, so there is no JSON."""
    status = status_of(error)
    headers = [("Content-Type", answers.RAW_STREAM), ("Connection", "close")]
    return Response(status, headers, f"{error}\r\n".encode())


@routes.delete("/containers/{id}")
async def container_remove(request: Request, engine: Engine) -> Response:
    """Remove a container.

    Query:
        v: its anonymous volumes too.
        force: kill it first if it runs.
        link: the link of that name, and not the container.
    Answers: 204, 404 no such container, 409 running, paused or already being removed.

    Spec: Docker Engine API, ContainerDelete.
    """
    await remove_container(
        engine,
        request.path["id"],
        volumes=request.boolean("v"),
        force=request.boolean("force"),
        link=request.boolean("link"),
    )
    return answers.nothing()


@routes.post("/containers/prune")
async def container_prune(request: Request, engine: Engine) -> Response:
    """Remove every stopped container.

    Query:
        filters: until, label, label!.
    Answers: 200, 400 bad filter, 409 another prune runs.

    Spec: Docker Engine API, ContainerPrune.
    """
    return answers.json(await prune_containers(engine, request.filters()))
