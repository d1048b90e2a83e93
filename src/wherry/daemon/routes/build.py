"""Routes of builds: there is no builder yet, so its cache is empty, and pruning it says so."""

from __future__ import annotations

from wherry.daemon import answers
from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.web.messages import Response

routes = Router()


@routes.post("/build/prune")
async def build_prune(_request: Request, _engine: Engine) -> Response:
    """Remove build cache: `docker system prune` asks this after the other prunes.

    Answers: 200, with nothing removed.

    Spec: Docker Engine API, BuildPrune.
    """
    return answers.json({"CachesDeleted": None, "SpaceReclaimed": 0})
