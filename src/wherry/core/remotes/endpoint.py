"""Endpoint: one registry as a place to send requests to, with what every request needs.

Around the bare request stand, from the inside: redirects (each hop checked, GET and HEAD only),
the answer to a 401 (once for a new token, once more for one that expired), and retries (bounded;
a Retry-After is honoured).  Where the registry is insecure the first request also finds out
whether it speaks https or http.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING

import msgspec

from wherry.core.remotes import Credentials, RefusedAddress, RegistryOptions
from wherry.core.remotes.answers import discard, retry_after_s
from wherry.core.remotes.auth import Authorizer
from wherry.core.remotes.origins import Location, Origin, is_insecure, parse_url
from wherry.core.remotes.transport import RequestFailed, Transport
from wherry.errors import WherryError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    BodyFactory = Callable[[], bytes | IO[bytes]] | None

REDIRECT_LIMIT = 5
RETRY_STATUSES = frozenset((408, 429, 500, 502, 503, 504))
RETRY_AFTER_LIMIT_S = 60.0
_BACKOFF_LIMIT_S = 8.0
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_ROUNDS = 3


class _Request(msgspec.Struct, frozen=True):
    """A request but for where it goes; `body` opens it anew for each sending."""

    method: str
    scope: str
    headers: Mapping[str, str]
    body: Callable[[], bytes | IO[bytes]] | None


class Endpoint:
    """A registry, or a mirror of one."""

    def __init__(
        self,
        transport: Transport,
        origins: tuple[Origin, ...],
        credentials: Credentials | None,
        options: RegistryOptions,
    ) -> None:
        self._transport = transport
        self._origins = origins
        self._credentials = credentials
        self._options = options
        self._authorizers: dict[Origin, Authorizer] = {}
        for origin in origins:
            transport.neighbourhood.trust(origin)

    @property
    def attempts(self) -> int:
        """How often a request may be tried."""
        return self._options.attempts

    def request(
        self,
        method: str,
        target: str | Location,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: BodyFactory = None,
        attempts: int = 1,
    ) -> BaseHTTPResponse:
        """The answer to a request; of any status, body not read, to be released by the caller.

        `target` is a path at the registry, or a place the registry named.

        Raises:
            RequestFailed: no answer in all attempts.
            Unauthenticated, NoCredentials, PermissionDenied: no way to authorize.
        """
        request = _Request(method, scope, headers or {}, body)
        attempt = 1
        while True:
            last = attempt >= attempts
            try:
                response = self._authorized(request, target)
            except RequestFailed:
                if last:
                    raise
                delay_s = self._backoff_s(attempt)
            else:
                asked_s = retry_after_s(response)
                delay_s = self._backoff_s(attempt) if asked_s is None else asked_s
                if response.status not in RETRY_STATUSES or last or delay_s > RETRY_AFTER_LIMIT_S:
                    return response
                discard(response)
            self._transport.wait(delay_s)
            attempt += 1

    def wait_after(self, failures: int) -> None:
        """Wait as long as fits after so many failures in a row.

        Raises:
            TransferCancelled: closed meanwhile.
        """
        self._transport.wait(self._backoff_s(failures))

    def _backoff_s(self, failures: int) -> float:
        return min(self._options.backoff_s * 2.0 ** (failures - 1), _BACKOFF_LIMIT_S)

    def location(self, response: BaseHTTPResponse, base: Location | None = None) -> Location:
        """The place that an answer's Location header names.

        Raises:
            RefusedAddress: none, or one that the registry may not lead to.
        """
        header = response.headers.get("Location", "")
        if not header:
            raise RefusedAddress("the registry named no location for the upload")
        base = base or Location(self._origins[0], "/")
        return self._checked(parse_url(header, base), base)

    def _authorized(self, request: _Request, target: str | Location) -> BaseHTTPResponse:
        """Send, and answer the registry's own 401."""
        for round_ in range(_ROUNDS):
            response, place, sent = self._send(request, target)
            challenge = ", ".join(response.headers.getlist("WWW-Authenticate"))
            is_own = place.origin in self._origins
            if response.status != 401 or not is_own or not challenge or round_ == _ROUNDS - 1:
                break
            try:
                if not self._authorizer(place.origin).answer(challenge, request.scope, sent=sent):
                    break  # the same again would be refused again
            except WherryError:
                response.close()
                raise
            discard(response)
        return response

    def _send(
        self, request: _Request, target: str | Location
    ) -> tuple[BaseHTTPResponse, Location, dict[str, str]]:
        """Send to the registry, by https or, where that is allowed and https is not spoken, http."""
        if isinstance(target, Location):
            return self._follow(request, target)
        while True:
            place = Location(self._origins[0], target)
            try:
                return self._follow(request, place)
            except RequestFailed:
                rest = tuple(origin for origin in self._origins if origin != place.origin)
                if not rest:  # also once https has answered: see the assignment in _follow
                    raise
                self._origins = rest

    def _follow(
        self, request: _Request, place: Location
    ) -> tuple[BaseHTTPResponse, Location, dict[str, str]]:
        """Send, and go where the answer redirects to."""
        for _ in range(REDIRECT_LIMIT + 1):
            known = self._known(place.origin, request.scope)
            body = request.body() if request.body else None
            response = self._transport.request(request.method, place, {**request.headers, **known}, body=body)
            if place.origin == self._origins[0]:
                self._origins = self._origins[:1]
            if response.status not in _REDIRECTS or request.method not in ("GET", "HEAD"):
                return response, place, known
            header = response.headers.get("Location", "")
            discard(response)
            place = self._checked(parse_url(header, place), place)
        raise RefusedAddress(f"the registry redirects more than {REDIRECT_LIMIT} times")

    def _checked(self, place: Location, before: Location) -> Location:
        """`place`, unless going there from `before` would give up TLS."""
        gives_up_tls = before.origin.scheme == "https" and place.origin.scheme == "http"
        if gives_up_tls and not is_insecure(place.origin, self._options):
            raise RefusedAddress(f"{before.origin} leads to plain http: {place.origin}")
        return place

    def _known(self, origin: Origin, scope: str) -> dict[str, str]:
        """The authorization to send along: none to an origin that is not the registry's."""
        return self._authorizer(origin).header(origin, scope) if origin in self._origins else {}

    def _authorizer(self, origin: Origin) -> Authorizer:
        known = self._authorizers.get(origin)
        if known is None:
            known = Authorizer(self._transport, origin, self._credentials, self._options)
            known = self._authorizers.setdefault(origin, known)
        return known
