"""Bearer tokens, as a real registry checks them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.distribution.conftest import (
    OPTIONS,
    PASSWORD,
    USER,
    RealRegistry,
    Stores,
    Told,
    pieces_of,
    run,
    tar_of,
)
from tests.integration.distribution.token_server import ISSUER, SERVICE, TokenServer

from wherry.core.images import Image
from wherry.core.remotes import Credentials, PullDenied
from wherry.core.remotes.login import check_credentials
from wherry.core.remotes.uploads import PushDenied
from wherry.core.transfer import import_image, pull, push
from wherry.errors import Unauthenticated
from wherry.oci.reference import Reference, parse_normalized

ANN = Credentials(username=USER, password=PASSWORD)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    server = TokenServer(tmp_path_factory.mktemp("tokens"), USER, PASSWORD)
    yield server
    server.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tokens: TokenServer) -> Iterator[RealRegistry]:
    auth = (
        f"{{token: {{realm: '{tokens.realm}', service: {SERVICE}, issuer: {ISSUER}, "
        f"rootcertbundle: {tokens.root}/certificate.pem}}}}"
    )
    real = RealRegistry(tmp_path_factory.mktemp("guarded"), auth=auth)
    real.start()
    yield real
    real.stop()


def imported(stores: Stores, name: str) -> Reference:
    reference = parse_normalized(name)
    run(import_image(stores.services, pieces_of(tar_of({name: b"x"})), reference=reference))
    return reference


def test_a_user_pushes_and_anybody_pulls_what_is_public(
    stores: Stores, other_stores: Stores, guarded: RealRegistry, tokens: TokenServer
) -> None:
    reference = imported(stores, f"{guarded.host}/public/app:1")

    pushed = run(push(stores.services, reference, credentials=ANN))
    image = run(pull(other_stores.services, reference))

    assert image.target == pushed
    assert tokens.asked[-1]["query"]["scope"] == ["repository:public/app:pull"]
    assert tokens.asked[-1]["authorization"] == ""


def test_what_is_private_is_denied_in_docker_s_words(
    stores: Stores, other_stores: Stores, guarded: RealRegistry
) -> None:
    reference = imported(stores, f"{guarded.host}/private/app:1")
    run(push(stores.services, reference, credentials=ANN))

    with pytest.raises(PullDenied, match=r"^pull access denied for 127\.0\.0\.1:\d+/private/app, repository"):
        run(pull(other_stores.services, reference))
    with pytest.raises(PushDenied, match=r"^push access denied, repository does not exist or may require"):
        run(push(stores.services, reference))
    assert run(pull(other_stores.services, reference, credentials=ANN))


def test_wrong_credentials_are_said_by_the_token_server(stores: Stores, guarded: RealRegistry) -> None:
    reference = parse_normalized(f"{guarded.host}/private/app:1")

    with pytest.raises(Unauthenticated, match="incorrect username or password"):
        run(pull(stores.services, reference, credentials=Credentials(username=USER, password="wrong")))


def test_a_mount_asks_for_both_repositories(
    stores: Stores, guarded: RealRegistry, tokens: TokenServer
) -> None:
    reference = imported(stores, f"{guarded.host}/mount/a:1")
    run(push(stores.services, reference, credentials=ANN))
    target = stores.services.images.get("moby", str(reference)).target
    other = parse_normalized(f"{guarded.host}/mount/b:1")
    stores.services.images.put("moby", Image(name=str(other), target=target))
    told = Told()

    run(push(stores.services, other, credentials=ANN, progress=told))

    assert "Mounted from mount/a" in told.statuses
    scopes = [set(item["query"]["scope"]) for item in tokens.asked]
    assert {"repository:mount/b:pull,push", "repository:mount/a:pull"} in scopes


class TestLogin:
    def check(self, stores: Stores, credentials: Credentials) -> None:
        run(check_credentials(credentials, options=OPTIONS, threads=stores.threads))

    def test_right_credentials_are_accepted(
        self, stores: Stores, guarded: RealRegistry, private_registry: RealRegistry
    ) -> None:
        for real in (guarded, private_registry):
            self.check(
                stores,
                Credentials(username=USER, password=PASSWORD, server_address=f"http://{real.host}/v2/"),
            )

    def test_wrong_credentials_are_refused_in_docker_s_words(
        self, stores: Stores, guarded: RealRegistry, private_registry: RealRegistry
    ) -> None:
        for real in (guarded, private_registry):
            wrong = Credentials(username=USER, password="wrong", server_address=real.host)

            with pytest.raises(Unauthenticated, match=r'^Get "https?://127.+/v2/": unauthorized: '):
                self.check(stores, wrong)

    def test_no_credentials_are_refused(self, stores: Stores, private_registry: RealRegistry) -> None:
        with pytest.raises(Unauthenticated, match="no basic auth credentials"):
            self.check(stores, Credentials(server_address=private_registry.host))
