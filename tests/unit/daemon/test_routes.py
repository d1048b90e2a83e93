"""The table of routes: complete for what is served, and documented."""

import inspect

import pytest

from wherry.daemon.routes import all_routes
from wherry.daemon.routing import Route

ROUTES = all_routes().routes
SERVED = """
HEAD /_ping            GET /_ping                 GET /version          GET /info            GET /events
POST /auth
GET /containers/json   POST /containers/create    GET /containers/{id}/json
POST /containers/{id}/start     POST /containers/{id}/stop      POST /containers/{id}/restart
POST /containers/{id}/kill      POST /containers/{id}/pause     POST /containers/{id}/unpause
POST /containers/{id}/rename    POST /containers/{id}/resize    POST /containers/{id}/wait
GET /containers/{id}/logs       POST /containers/{id}/attach    DELETE /containers/{id}
POST /containers/prune          POST /containers/{id}/exec
POST /exec/{id}/start  POST /exec/{id}/resize     GET /exec/{id}/json
GET /images/json       POST /images/create        GET /images/{name...}/json
GET /images/{name...}/history   POST /images/{name...}/push     POST /images/{name...}/tag
DELETE /images/{name...}        POST /images/prune              POST /images/load
GET /images/{name...}/get       GET /images/get
GET /volumes           POST /volumes/create       GET /volumes/{name}   DELETE /volumes/{name}
POST /volumes/prune    GET /networks              GET /networks/{id}
POST /swarm/leave      GET /nodes                 GET /services         GET /tasks
"""


def test_every_route_of_the_issue_is_served() -> None:
    words = SERVED.split()
    wanted = set(zip(words[::2], words[1::2], strict=True))

    assert wanted <= {(route.method, route.pattern) for route in ROUTES}


def test_no_two_handlers_have_the_same_route() -> None:
    pairs = [(route.method, route.pattern) for route in ROUTES]

    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
def test_a_route_says_what_it_answers_and_where_that_is_specified(route: Route) -> None:
    text = inspect.getdoc(route.handler) or ""

    assert "\nAnswers:" in text
    assert "\nSpec: Docker Engine API, " in text


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
def test_a_route_names_the_parameters_it_reads(route: Route) -> None:
    source = inspect.getsource(route.handler)
    reads = any(word in source for word in ("request.query", "request.boolean", "request.integer", "_size("))

    assert not reads or "Query:" in (inspect.getdoc(route.handler) or "")
