"""The routes of the Engine API: a module for each noun, gathered in one table."""

from wherry.daemon.routes import build, containers, execs, images, networks, swarm, system, volumes
from wherry.daemon.routing import Router


def all_routes() -> Router:
    """Every route that this daemon serves."""
    table = Router()
    for module in (system, containers, execs, images, volumes, networks, build, swarm):
        table.include(module.routes)
    return table
