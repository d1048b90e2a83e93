"""Routes of execs: further programs in a running container."""

from __future__ import annotations

from wherry.api.types import ExecConfig, ExecStartRequest
from wherry.daemon import answers
from wherry.daemon.request import Request
from wherry.daemon.routes.containers import terminal_size
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.engine.exec.create import create_exec
from wherry.engine.exec.inspect import inspect_exec
from wherry.engine.exec.resize import resize_exec
from wherry.engine.exec.start import start_exec
from wherry.web.messages import Hijack, Response

routes = Router()


@routes.post("/containers/{id}/exec")
async def exec_create(request: Request, engine: Engine) -> Response:
    """Prepare a program to run in a container.

    Answers: 201, 400 no command, 404 no such container, 409 not running or paused.

    Spec: Docker Engine API, ContainerExec.
    """
    body = await request.json(ExecConfig)
    return answers.json(await create_exec(engine, request.path["id"], body), status=201)


@routes.post("/exec/{id}/start")
async def exec_start(request: Request, engine: Engine) -> Response | Hijack:
    """Run a prepared program, connected to the client or detached.

    Answers: 101, or 200 without an upgrade or detached; 404 no such exec, 409 it ran before or its
        container does not run. What fails after the switch is in the stream.

    Spec: Docker Engine API, ExecStart.
    """
    body = await request.optional_json(ExecStartRequest)
    attachment = await start_exec(engine, request.path["id"], body)
    if attachment is None:
        return answers.nothing(200)
    return answers.hand_over(request, attachment.connect, tty=attachment.tty)


@routes.post("/exec/{id}/resize")
async def exec_resize(request: Request, engine: Engine) -> Response:
    """Set the size of an exec's terminal.

    Query:
        h, w: rows and columns.
    Answers: 200, 400 no size or not started, 404 no such exec.

    Spec: Docker Engine API, ExecResize.
    """
    rows, columns = terminal_size(request)
    await resize_exec(engine, request.path["id"], rows, columns)
    return answers.nothing(200)


@routes.get("/exec/{id}/json")
async def exec_inspect(request: Request, engine: Engine) -> Response:
    """Show one exec; its exit code is null while it runs.

    Answers: 200, 404 no such exec.

    Spec: Docker Engine API, ExecInspect.
    """
    return answers.json(await inspect_exec(engine, request.path["id"]))
