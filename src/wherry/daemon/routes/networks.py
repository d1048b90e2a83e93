"""Routes of networks."""

from __future__ import annotations

from wherry.api import filters
from wherry.daemon import answers
from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.engine.networks.inspect import inspect_network
from wherry.engine.networks.list import list_networks
from wherry.web.messages import Response

routes = Router()


@routes.get("/networks")
@routes.get("/networks/")
async def network_list(request: Request, engine: Engine) -> Response:
    """List networks.

    Query:
        filters: dangling, driver, id, label, name, scope, type.
    Answers: 200, 400 bad filter.

    Spec: Docker Engine API, NetworkList.
    """
    return answers.json(await list_networks(engine, filters=request.filters(), version=request.version))


@routes.post("/networks/prune")
async def network_prune(request: Request, _engine: Engine) -> Response:
    """Remove the networks that nobody uses: never one of the predefined, and there are no others.

    Query:
        filters: until, label, label!.
    Answers: 200, 400 bad filter.

    Spec: Docker Engine API, NetworkPrune.
    """
    filters.check(request.filters(), frozenset({"until", "label", "label!"}))
    return answers.json({"NetworksDeleted": None})


@routes.get("/networks/{id}")
async def network_inspect(request: Request, engine: Engine) -> Response:
    """Show one network.

    Answers: 200, 404 no such network.

    Spec: Docker Engine API, NetworkInspect.
    """
    return answers.json(await inspect_network(engine, request.path["id"], version=request.version))
