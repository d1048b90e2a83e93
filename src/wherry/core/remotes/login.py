"""Login: whether a registry accepts credentials, asked before anybody stores them."""

from __future__ import annotations

import asyncio

from wherry.core.remotes import Credentials, NoCredentials, RegistryOptions
from wherry.core.remotes.answers import discard, refusal
from wherry.core.remotes.endpoint import Endpoint
from wherry.core.remotes.origins import registry_origins, server_host
from wherry.core.remotes.transport import Transport
from wherry.core.threads import Threads
from wherry.errors import Unauthenticated, WherryError
from wherry.oci.reference import DEFAULT_DOMAIN, Reference

_PING = "/v2/"


async def check_credentials(credentials: Credentials, *, options: RegistryOptions, threads: Threads) -> None:
    """Return if the registry of `credentials.server_address` (Docker Hub without one) accepts them.

    Raises:
        Unauthenticated: it refuses them.
        RequestFailed: it does not answer.
        InvalidReference: the address is none.
    """
    transport = Transport(options)
    call = asyncio.ensure_future(threads.transfer(_check, transport, credentials, options))
    try:
        await asyncio.shield(call)
    except asyncio.CancelledError:
        transport.close()
        await asyncio.wait([call])
        if not call.cancelled():
            call.exception()
        raise
    finally:
        transport.dispose()


def _check(transport: Transport, credentials: Credentials, options: RegistryOptions) -> None:
    domain = server_host(credentials.server_address) or DEFAULT_DOMAIN
    origins = registry_origins(Reference(domain, "login").domain, options)
    endpoint = Endpoint(transport, origins, credentials, options)
    url = f"{origins[0]}{_PING}"
    try:
        response = endpoint.request("GET", _PING, scope="")
    except (Unauthenticated, NoCredentials) as error:
        raise Unauthenticated(f'Get "{url}": unauthorized: {_plain(error)}') from None
    if response.status == 200:
        discard(response)
    elif response.status == 401:
        raise Unauthenticated(f'Get "{url}": unauthorized: {_plain(refusal(response))}')
    else:
        status = f"{response.status} {response.reason or ''}".rstrip()
        discard(response)
        raise WherryError(f"login attempt to {url} failed with status: {status}")


def _plain(error: WherryError) -> str:
    return str(error).removeprefix("error from registry: ")
