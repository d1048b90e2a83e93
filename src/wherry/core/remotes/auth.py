"""Authorization: from a registry's challenge and a client's credentials to a header.

Credentials belong to one registry.  They travel to that registry's origin (Basic) or to the
token server it names (Bearer), and there only over verified TLS, or in the clear between
loopback or listed insecure hosts.  A token server on a foreign host gets no credentials unless
it is under the registry's own parent domain or configured (R18).

Spec: distribution, Token Authentication and OAuth2 Token Authentication.
"""

from __future__ import annotations

import base64
import threading
import time
from urllib.parse import urlencode

from wherry.core.remotes import Credentials, NoCredentials, RegistryOptions
from wherry.core.remotes.answers import read_document
from wherry.core.remotes.challenges import Challenge, parse_challenges
from wherry.core.remotes.origins import Location, Origin, is_insecure, literal_address, parse_url
from wherry.core.remotes.transport import Transport
from wherry.errors import InvalidArgument, PermissionDenied, Unauthenticated
from wherry.oci.documents import InvalidDocument, text_field

CLIENT_ID = "wherry"
TOKEN_LIMIT_BYTES = 1 << 20
_DEFAULT_LIFE_S = 60.0
_LEEWAY_S = 5.0


class Authorizer:
    """The authorization of requests to one registry origin; usable from several threads."""

    def __init__(
        self,
        transport: Transport,
        origin: Origin,
        credentials: Credentials | None,
        options: RegistryOptions,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._credentials = credentials
        self._options = options
        self._basic = ""
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        token = credentials.registry_token if credentials else ""
        if token and not _is_token(token):
            raise InvalidArgument("invalid registry token: it holds characters that a header cannot")
        self._registry_token = f"Bearer {token}" if token else ""

    def header(self, origin: Origin, scope: str) -> dict[str, str]:
        """The Authorization header known for `scope`; nothing for any origin but the registry's."""
        if origin != self._origin:
            return {}
        with self._lock:
            token, expires = self._tokens.get(scope, ("", 0.0))
            if not token or expires < time.monotonic():
                token = self._registry_token or self._basic
        return {"Authorization": token} if token else {}

    def answer(self, challenge_header: str, scope: str, *, sent: dict[str, str]) -> bool:
        """Obtain what a 401 asks for; True when `header` has something else to try now than `sent`.

        Of several requests that are refused at once, one asks the token server and the others wait:
        the lock is of this operation alone, and closing the operation ends the wait.

        Raises:
            NoCredentials: it wants Basic and there are none.
            Unauthenticated: it wants something else, or refuses what there is.
        """
        with self._turn:
            if self.header(self._origin, scope) == sent:
                self._obtain(challenge_header, scope)
            return self.header(self._origin, scope) != sent

    def _obtain(self, challenge_header: str, scope: str) -> None:
        offered = {challenge.scheme: challenge for challenge in reversed(parse_challenges(challenge_header))}
        if "bearer" in offered:
            token, life_s = self._fetch_token(offered["bearer"], scope)
            with self._lock:
                self._tokens[scope] = f"Bearer {token}", time.monotonic() + life_s - _LEEWAY_S
        elif "basic" in offered:
            credentials = self._credentials
            if credentials is None or not credentials.username:
                raise NoCredentials
            self._basic = _basic(credentials)
        else:
            raise Unauthenticated(f"registry {self._origin.authority} asks for an unknown authentication")

    def _fetch_token(self, challenge: Challenge, scope: str) -> tuple[str, float]:
        """A token for `scope`, and for how many seconds it holds."""
        realm = self._realm(challenge)
        service = challenge.parameters.get("service", "")
        scopes = _merge_scopes(scope, challenge.parameters.get("scope", ""))
        credentials = self._credentials
        if credentials and credentials.identity_token:
            self._may_send_credentials(realm.origin)
            grant = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token}
            return self._post_token(realm, service, scopes, grant)
        headers = {}
        query = [("service", service)] if service else []
        query += [("scope", item) for item in scopes]
        if credentials and credentials.username:
            self._may_send_credentials(realm.origin)
            headers["Authorization"] = _basic(credentials)
            query += [("account", credentials.username), ("client_id", CLIENT_ID)]
        joint = "&" if "?" in realm.target else "?"
        location = Location(realm.origin, realm.target + (joint + urlencode(query) if query else ""))
        response = self._transport.request("GET", location, headers)
        if response.status in (404, 405) and credentials and credentials.username:
            response.close()
            grant = {
                "grant_type": "password",
                "username": credentials.username,
                "password": credentials.password,
            }
            return self._post_token(realm, service, scopes, grant)
        return _read_token(response)

    def _post_token(
        self, realm: Location, service: str, scopes: list[str], grant: dict[str, str]
    ) -> tuple[str, float]:
        form = {**grant, "service": service, "client_id": CLIENT_ID, "scope": " ".join(scopes)}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        response = self._transport.request("POST", realm, headers, body=urlencode(form).encode())
        return _read_token(response)

    def _realm(self, challenge: Challenge) -> Location:
        """The token server, if a registry of this origin may name it."""
        realm = parse_url(challenge.parameters.get("realm", ""))
        if realm.origin.scheme == "http" and not self._is_plain_allowed(realm.origin):
            raise PermissionDenied(
                f"registry {self._origin.authority} names a token server on plain http: {realm.origin}"
            )
        return realm

    def _is_plain_allowed(self, realm: Origin) -> bool:
        return is_insecure(self._origin, self._options) and (
            is_insecure(realm, self._options) or realm.host == self._origin.host
        )

    def _may_send_credentials(self, realm: Origin) -> None:
        """Refuse to hand credentials to a host that has nothing to do with the registry."""
        own = self._origin.host
        both_local = is_insecure(self._origin, _LOOPBACK_ONLY) and is_insecure(realm, _LOOPBACK_ONLY)
        if realm.host == own or both_local or realm.host in self._options.trusted_realms:
            return
        parent = own.partition(".")[2]
        is_name = literal_address(own) is None and literal_address(realm.host) is None
        if is_name and "." in parent and f".{realm.host}".endswith(f".{parent}"):
            return
        raise PermissionDenied(
            f"registry {self._origin.authority} asks for its credentials to be sent to {realm.host}, "
            "a host of another domain",
            hint=f"to allow it, list {realm.host} as a trusted realm in the daemon's configuration",
        )


_LOOPBACK_ONLY = RegistryOptions()


def _is_token(text: str) -> bool:
    """Whether `text` can stand in a header as a token."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def _merge_scopes(wanted: str, asked: str) -> list[str]:
    """The scopes to ask a token for: ours first, then what the challenge adds, each once."""
    return list(dict.fromkeys([*wanted.split(), *asked.split()]))


def _read_token(response: object) -> tuple[str, float]:
    document = read_document(response, "token", limit_bytes=TOKEN_LIMIT_BYTES)  # type: ignore[arg-type]
    try:
        token = text_field(document, "token", "token", default="") or text_field(
            document, "access_token", "token", default=""
        )
    except InvalidDocument as error:
        raise Unauthenticated(
            f"authorization server did not include a token in the response: {error}"
        ) from None
    if not _is_token(token):
        raise Unauthenticated("authorization server did not include a token in the response")
    life = document.get("expires_in")
    life_s = float(life) if isinstance(life, int) and 0 < life < 86_400 else _DEFAULT_LIFE_S
    return token, max(life_s, _DEFAULT_LIFE_S)
