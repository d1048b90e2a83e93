"""Routes of swarm, on an engine that is in none.

Clients decide by these answers whether to show swarm at all.
"""

from __future__ import annotations

from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.errors import Unavailable
from wherry.web.messages import Response

routes = Router()

_NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)


@routes.post("/swarm/leave")
async def leave(_request: Request, _engine: Engine) -> Response:
    """Refuse to leave what was never joined.

    Answers: 503.

    Spec: Docker Engine API, SwarmLeave.
    """
    raise Unavailable("This node is not part of a swarm")


async def refuse(_request: Request, _engine: Engine) -> Response:
    """Refuse what only a swarm manager does.

    Answers: 503.

    Spec: Docker Engine API, Swarm, Node, Service, Task, Secret, Config.
    """
    raise Unavailable(_NOT_A_MANAGER)


for _noun in ("swarm", "nodes", "services", "tasks", "secrets", "configs"):
    for _method in ("GET", "POST", "DELETE"):
        routes.route(_method, f"/{_noun}")(refuse)
        routes.route(_method, f"/{_noun}/{{rest...}}")(refuse)
