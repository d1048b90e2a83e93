"""A routed request: path and query decoded once, and parameters with their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from wherry import web
from wherry.api import types
from wherry.api.auth import HEADER as AUTH_HEADER
from wherry.api.auth import RegistryAuth, decode_auth, parse_auth
from wherry.api.filters import Filters
from wherry.api.filters import parse as parse_filters
from wherry.api.versions import Version
from wherry.errors import InvalidArgument
from wherry.web.messages import Headers

__all__ = ["Query", "Request"]

_JSON_LIMIT_BYTES = 4 * 1024 * 1024
_FALSE = ("", "0", "no", "false", "none")
_MOST_PARAMETERS = 1000

BodyType = TypeVar("BodyType", bound=msgspec.Struct)


class Query:
    """The parameters after the question mark."""

    __slots__ = ("_pairs",)

    def __init__(self, text: str) -> None:
        try:
            self._pairs = (
                parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
                if text
                else []
            )
        except ValueError as error:
            raise InvalidArgument(f"invalid query: {error}") from None

    def get(self, name: str, default: str = "") -> str:
        """The first value of `name`."""
        return next((value for key, value in self._pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        return [value for key, value in self._pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self._pairs)


class Request:
    """One request of the Engine API, on its way to its handler."""

    __slots__ = ("http", "path", "query", "version")

    def __init__(
        self, http: web.messages.Request, path: Mapping[str, str], query: Query, version: Version
    ) -> None:
        self.http = http
        self.path = path
        self.query = query
        self.version = version

    @property
    def headers(self) -> Headers:
        """The header fields as they came."""
        return self.http.headers

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """A yes-or-no parameter: empty, 0, no, false and none are no, all else is yes."""
        if name not in self.query:
            return default
        return self.query.get(name).strip().lower() not in _FALSE

    def integer(self, name: str) -> int | None:
        """A whole number, or None when it is not given.

        Raises:
            InvalidArgument: something else was given.
        """
        text = self.query.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise InvalidArgument(f"invalid value {text!r} for {name}: expected a whole number") from None

    def required(self, name: str) -> str:
        """A parameter that must be there.

        Raises:
            InvalidArgument: it is not, or is empty.
        """
        value = self.query.get(name)
        if not value:
            raise InvalidArgument(f"bad parameter: {name} cannot be empty")
        return value

    def filters(self) -> Filters:
        """The `filters` parameter."""
        return parse_filters(self.query.get("filters"))

    def auth(self) -> RegistryAuth:
        """The credentials for one registry in `X-Registry-Auth`."""
        return decode_auth(self.headers.get(AUTH_HEADER))

    async def credentials(self) -> RegistryAuth:
        """The credentials for one registry in the body.

        Raises:
            InvalidArgument: not JSON of that form.
        """
        self.check_json()
        try:
            return parse_auth(await self.http.body.read(_JSON_LIMIT_BYTES))
        except (msgspec.DecodeError, ValueError) as error:
            raise InvalidArgument(f"invalid JSON: {error}") from None

    async def json(self, kind: type[BodyType]) -> BodyType:
        """The body as a value of `kind`.

        Raises:
            InvalidArgument: another content type, not JSON, or not of that form.
        """
        self.check_json()
        return types.decode(await self.http.body.read(_JSON_LIMIT_BYTES), kind)

    async def optional_json(self, kind: type[BodyType]) -> BodyType:
        """As `json`; no body is a value with every default."""
        self.check_json()
        body = await self.http.body.read(_JSON_LIMIT_BYTES)
        return types.decode(body or b"{}", kind)

    def check_json(self) -> None:
        """Refuse a body that is not announced as JSON; no content type is fine without a body.

        Raises:
            InvalidArgument: it is announced as something else.
        """
        given = self.headers.get("content-type")
        has_body = "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"
        if not given and not has_body:
            return
        if given.partition(";")[0].strip().lower() != "application/json":
            raise InvalidArgument(f"unsupported Content-Type header ({given}): must be 'application/json'")
