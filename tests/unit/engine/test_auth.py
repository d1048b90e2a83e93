"""Credentials are tried at the registry, and nothing is kept."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes.registry import Answer, FakeRegistry
from tests.unit.engine.conftest import Lab

from wherry.api.auth import RegistryAuth
from wherry.engine.system.auth import authenticate
from wherry.errors import Unauthenticated

CHALLENGE = {"WWW-Authenticate": 'Basic realm="test"'}


@pytest.mark.parametrize(("second", "accepted"), [(200, True), (401, False)])
def test_the_registry_decides(lab: Lab, second: int, accepted: bool) -> None:
    async def scenario(server_address: str) -> None:
        auth = RegistryAuth(username="user", password="secret", server_address=server_address)
        async with lab.engine() as engine:
            if accepted:
                answer = await authenticate(engine, auth)
                assert answer == {"Status": "Login Succeeded", "IdentityToken": ""}
            else:
                with pytest.raises(Unauthenticated, match="unauthorized"):
                    await authenticate(engine, auth)

    with FakeRegistry() as registry:
        registry.script("GET", "/v2/", Answer(401, headers=CHALLENGE), Answer(second, headers=CHALLENGE))
        asyncio.run(scenario(registry.host))
