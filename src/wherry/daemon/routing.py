"""From method and path to handler.

A pattern is a path with names in braces: `/containers/{id}/stop`.  `{id}` is one segment, which may have a
slash before it, as Docker's own names of containers do; `{name...}` is one or more segments, for the names
of images.  A path without names wins over one with them, and then the pattern that was declared first.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from wherry.web.messages import Hijack, Response

if TYPE_CHECKING:
    from wherry.daemon.request import Request
    from wherry.engine.engine import Engine

Handler = Callable[["Request", "Engine"], Awaitable[Response | Hijack]]
HandlerType = TypeVar("HandlerType", bound=Callable[..., Awaitable[Response | Hijack]])
_NAME = re.compile(r"\{(\w+)(\.\.\.)?\}")


class Route:
    """One method and pattern of the API.

    `ends_with_client` cancels the handler when the client leaves: for answers that nobody else waits for.
    `before_version` answers whatever version was asked for.
    """

    __slots__ = ("before_version", "ends_with_client", "handler", "method", "pattern")

    def __init__(
        self, method: str, pattern: str, handler: Handler, *, ends_with_client: bool, before_version: bool
    ) -> None:
        self.method = method
        self.pattern = pattern
        self.handler = handler
        self.ends_with_client = ends_with_client
        self.before_version = before_version


class Router:
    """A table of routes, filled by decorators."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._plain: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}

    def get(self, pattern: str, *, ends_with_client: bool = False) -> Callable[[HandlerType], HandlerType]:
        """Declare a handler of GET."""
        return self.route("GET", pattern, ends_with_client=ends_with_client)

    def post(self, pattern: str, *, ends_with_client: bool = False) -> Callable[[HandlerType], HandlerType]:
        """Declare a handler of POST."""
        return self.route("POST", pattern, ends_with_client=ends_with_client)

    def put(self, pattern: str) -> Callable[[HandlerType], HandlerType]:
        """Declare a handler of PUT."""
        return self.route("PUT", pattern)

    def delete(self, pattern: str) -> Callable[[HandlerType], HandlerType]:
        """Declare a handler of DELETE."""
        return self.route("DELETE", pattern)

    def route(
        self, method: str, pattern: str, *, ends_with_client: bool = False, before_version: bool = False
    ) -> Callable[[HandlerType], HandlerType]:
        """Declare a handler of `method`."""

        def declare(handler: HandlerType) -> HandlerType:
            self._add(
                Route(
                    method,
                    pattern,
                    handler,
                    ends_with_client=ends_with_client,
                    before_version=before_version,
                )
            )
            return handler

        return declare

    def include(self, other: Router) -> None:
        """Take over the routes of `other`."""
        for route in other.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        self.routes.append(route)
        if "{" not in route.pattern:
            self._plain[route.method, route.pattern] = route
            return
        key = route.method, route.pattern.split("/")[1]
        self._patterns.setdefault(key, []).append((_compile(route.pattern), route))

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a decoded path and the values of the names in its pattern."""
        plain = self._plain.get((method, path))
        if plain:
            return plain, {}
        first = path[1:].partition("/")[0]
        for pattern, route in self._patterns.get((method, first), ()):
            found = pattern.fullmatch(path)
            if found:
                return route, found.groupdict()
        return None


def _compile(pattern: str) -> re.Pattern[str]:
    def group(name: re.Match[str]) -> str:
        return f"(?P<{name[1]}>.+)" if name[2] else f"/?(?P<{name[1]}>[^/]+)"

    parts = []
    at = 0
    for name in _NAME.finditer(pattern):
        parts += [re.escape(pattern[at : name.start()]), group(name)]
        at = name.end()
    return re.compile("".join(parts) + re.escape(pattern[at:]), re.DOTALL)
