"""Routes of volumes."""

from __future__ import annotations

from wherry.api.types import VolumeCreateRequest
from wherry.daemon import answers
from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.engine.volumes.create import create_volume
from wherry.engine.volumes.inspect import inspect_volume
from wherry.engine.volumes.list import list_volumes
from wherry.engine.volumes.prune import prune_volumes
from wherry.engine.volumes.remove import remove_volume
from wherry.web.messages import Response

routes = Router()


@routes.get("/volumes")
async def volume_list(request: Request, engine: Engine) -> Response:
    """List volumes.

    Query:
        filters: dangling, driver, label, name.
    Answers: 200, 400 bad filter.

    Spec: Docker Engine API, VolumeList.
    """
    return answers.json(await list_volumes(engine, request.filters()))


@routes.post("/volumes/create")
async def volume_create(request: Request, engine: Engine) -> Response:
    """Create a volume, or show the one that is there.

    Answers: 201, 400 bad name or option, 404 unknown driver, 409 other options.

    Spec: Docker Engine API, VolumeCreate.
    """
    body = await request.json(VolumeCreateRequest)
    return answers.json(await create_volume(engine, body), status=201)


@routes.get("/volumes/{name}")
async def volume_inspect(request: Request, engine: Engine) -> Response:
    """Show one volume.

    Answers: 200, 404 no such volume.

    Spec: Docker Engine API, VolumeInspect.
    """
    return answers.json(await inspect_volume(engine, request.path["name"]))


@routes.delete("/volumes/{name}")
async def volume_remove(request: Request, engine: Engine) -> Response:
    """Remove a volume and what is in it.

    Query:
        force: a volume that is not there is no failure.
    Answers: 204, 404 no such volume, 409 in use.

    Spec: Docker Engine API, VolumeDelete.
    """
    await remove_volume(engine, request.path["name"], force=request.boolean("force"))
    return answers.nothing()


@routes.post("/volumes/prune")
async def volume_prune(request: Request, engine: Engine) -> Response:
    """Remove the anonymous volumes that no container uses.

    Query:
        filters: all, label, label!.
    Answers: 200, 400 bad filter, 409 another prune runs.

    Spec: Docker Engine API, VolumePrune.
    """
    return answers.json(await prune_volumes(engine, request.filters(), version=request.version))
