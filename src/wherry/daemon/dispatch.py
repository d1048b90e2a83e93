"""Every request passes here: origin, route, version, headers, and failures as statuses.

Spec: Docker Engine API, introduction; dockerd's middlewares.
"""

from __future__ import annotations

import re
import time
import traceback
from urllib.parse import unquote

from wherry.api import versions
from wherry.api.errors import status_of
from wherry.daemon import answers
from wherry.daemon.origin import check_origin
from wherry.daemon.request import Query, Request
from wherry.daemon.routing import Router
from wherry.diagnostics.logs import log
from wherry.engine.engine import Engine
from wherry.errors import InvalidArgument, NotFound, NotModified, WherryError
from wherry.web import messages as web

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"
_PLAIN_TEXT_BELOW = (1, 24)


class Dispatcher:
    """The handler that the web server calls."""

    def __init__(self, router: Router, engine: Engine, *, server: str) -> None:
        self._router = router
        self._engine = engine
        self._server = server
        self._date = ""
        self._date_s = 0

    async def __call__(self, http: web.Request) -> web.Response | web.Hijack:
        try:
            check_origin(http)
            answer = await self._answer(http)
        except web.Disconnected:
            raise
        except web.BadRequest as error:
            answer = answers.failure(error.status, str(error))
        except Exception as error:
            answer = self._failure(http, error)
        answer.headers += self._standard_headers()
        return answer

    async def _answer(self, http: web.Request) -> web.Response | web.Hijack:
        if http.method == "OPTIONS":
            return answers.nothing(200)
        encoded, _, query = http.target.partition("?")
        asked, path = versions.split_path(_decode_path(encoded))
        found = self._router.match(http.method, path)
        if found is None:
            raise NotFound("page not found")
        route, names = found
        version = versions.NEWEST if route.before_version else versions.negotiate(asked)
        http.cancel_on_disconnect = route.ends_with_client
        request = Request(http, names, Query(query), version)
        return await route.handler(request, self._engine)

    def _failure(self, http: web.Request, error: Exception) -> web.Response:
        """`error` as its answer; what no kind explains is logged with where it came from."""
        if isinstance(error, NotModified):
            return answers.nothing(304)
        status = status_of(error)
        message = str(error) or type(error).__name__
        facts = {"method": http.method, "path": http.target.partition("?")[0], "status": status}
        if isinstance(error, WherryError):
            log("info", "request refused", **facts, error=message)
        else:
            trace = "".join(traceback.format_exception(error))
            log("error", "request failed", **facts, error=message, traceback=trace)
        if _is_ancient(http.target):
            return web.Response(
                status, [("Content-Type", "text/plain; charset=utf-8")], f"{message}\n".encode()
            )
        return answers.failure(status, message)

    def _standard_headers(self) -> list[tuple[str, str]]:
        now = int(time.time())
        if now != self._date_s:
            self._date_s, self._date = now, time.strftime(_HTTP_DATE, time.gmtime(now))
        return [
            ("Api-Version", versions.to_text(versions.NEWEST)),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Server", self._server),
            ("Date", self._date),
        ]


def _decode_path(encoded: str) -> str:
    """The path with its escapes decoded, once.

    Raises:
        InvalidArgument: an escape that is none, bytes that are not UTF-8, or no path at all.
    """
    if not encoded.startswith("/"):
        raise InvalidArgument("the request target is not a path")
    if "%" not in encoded:
        return encoded
    if _BAD_ESCAPE.search(encoded):
        raise InvalidArgument("invalid URL escape in the path")
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise InvalidArgument("the path is not UTF-8") from None


def _is_ancient(target: str) -> bool:
    """Whether the client is from the time when errors were plain text."""
    asked, _ = versions.split_path(target.partition("?")[0])
    try:
        return asked is not None and versions.parse(asked) < _PLAIN_TEXT_BELOW
    except InvalidArgument:
        return False
