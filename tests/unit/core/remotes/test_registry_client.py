"""The registry client against a registry that lies, breaks off and leads astray."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.fakes.registry import OCI_LAYER, Answer, FakeRegistry, digest

from wherry.core.remotes import (
    Credentials,
    ManifestUnknown,
    NoCredentials,
    PullDenied,
    RefusedAddress,
    RegistryOptions,
)
from wherry.core.remotes.registry import Registry
from wherry.core.remotes.repository import ManifestMismatch
from wherry.core.remotes.uploads import PushDenied
from wherry.core.threads import Threads
from wherry.errors import (
    DataLoss,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import Reference, parse_normalized

LAYER = bytes(range(256)) * 4000
BASIC = Credentials(username="ann", password="secret")
BASIC_HEADER = "Basic " + base64.b64encode(b"ann:secret").decode()
OPTIONS = RegistryOptions(attempts=3, backoff_s=0.01, connect_timeout_s=2.0, read_timeout_s=5.0)


class Sink:
    """A blob in memory."""

    def __init__(self, start: bytes = b"") -> None:
        self.data = bytearray(start)

    @property
    def offset(self) -> int:
        return len(self.data)

    def write(self, data: bytes | memoryview) -> int:
        self.data += data
        return len(data)

    def restart(self) -> None:
        self.data.clear()

    @contextmanager
    def open(self) -> Iterator[Sink]:
        yield self


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def threads() -> Iterator[Threads]:
    pools = Threads(transfer=4)
    yield pools
    pools.close()


@pytest.fixture
def reference(fake: FakeRegistry) -> Reference:
    return parse_normalized(f"{fake.host}/team/app:1")


def run(coroutine: object) -> object:
    return asyncio.run(coroutine)  # type: ignore[arg-type]


async def resolve(
    threads: Threads, reference: Reference, credentials: Credentials | None = None
) -> Descriptor:
    async with Registry(reference, credentials=credentials, options=OPTIONS, threads=threads) as registry:
        return (await registry.resolve(reference)).descriptor


async def fetch(threads: Threads, reference: Reference, blob: Descriptor, sink: Sink) -> None:
    async with Registry(reference, credentials=None, options=OPTIONS, threads=threads) as registry:
        await registry.fetch(blob, sink.open, lambda _offset: None)


def layer_of(data: bytes, size: int | None = None) -> Descriptor:
    return Descriptor(OCI_LAYER, Digest(digest(data)), len(data) if size is None else size)


async def tags(threads: Threads, reference: Reference) -> list[str]:
    async with Registry(reference, credentials=None, options=OPTIONS, threads=threads) as registry:
        return await registry.tags()


def page(*names: object, link: str = "") -> Answer:
    return Answer(
        200, json.dumps({"name": "x", "tags": list(names)}).encode(), {"Link": link} if link else {}
    )


class TestTags:
    TARGET = "/v2/team/app/tags/list"

    def test_every_page_is_asked_for(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        links = [
            f'<{self.TARGET}?n=2&last=b>; rel="next"',
            '<http://192.0.2.1/x?t=1%2F>; rel="next"',
            "</x>; rel=a",
        ]
        fake.script(
            "GET",
            self.TARGET,
            page("a", "b", link=links[0]),
            page("b", link=links[1]),
            page("c", link=links[2]),
        )

        assert run(tags(threads, reference)) == ["a", "b", "c"]
        assert [seen.query for seen in fake.seen("GET")] == [
            {"n": ["1000"]},
            {"n": ["2"], "last": ["b"]},
            {"t": ["1/"]},
        ]

    def test_a_repository_may_have_none(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.script("GET", self.TARGET, Answer(200, b'{"name": "x", "tags": null}'))

        assert run(tags(threads, reference)) == []

    def test_an_unknown_repository_is_refused_as_a_pull_is(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        with pytest.raises(PullDenied):
            run(tags(threads, reference))

    @pytest.mark.parametrize(
        "answer",
        [
            page("../x"),
            page(1),
            Answer(200, b'{"tags": {"a": 1}}'),
            Answer(200, b"[]"),
            Answer(200, b"{"),
            page("a", link='</x?last=b>; rel="next"'),  # for ever
            page("a", link='</x?last=\tb>; rel="next"'),
        ],
    )
    def test_what_is_no_list_of_tags_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, answer: Answer
    ) -> None:
        fake.script("GET", self.TARGET, answer)

        with pytest.raises(InvalidArgument, match="invalid tag list"):
            run(tags(threads, reference))


class TestResolve:
    def test_a_tag_becomes_the_descriptor_of_its_manifest(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        found = fake.add_image("team/app", "1", [LAYER])

        descriptor = run(resolve(threads, reference))

        assert descriptor.digest == found  # type: ignore[attr-defined]

    def test_an_unknown_tag_is_not_found_in_docker_s_words(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        with pytest.raises(ManifestUnknown, match=r"/team/app:1: not found$"):
            run(resolve(threads, reference))

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refusal_asks_for_a_login(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, status: int
    ) -> None:
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(status))

        with pytest.raises(PullDenied, match="may require 'docker login'"):
            run(resolve(threads, reference))

    def test_a_head_without_a_digest_is_answered_by_reading(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        found = fake.add_image("team/app", "1", [LAYER])
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(405))

        assert run(resolve(threads, reference)).digest == found  # type: ignore[attr-defined]

    def test_another_digest_in_the_header_than_in_the_bytes_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(405))
        fake.script(
            "GET", "/v2/team/app/manifests/1", Answer(200, b"{}", {"Docker-Content-Digest": digest(b"other")})
        )

        with pytest.raises(ManifestMismatch):
            run(resolve(threads, reference))

    @pytest.mark.parametrize("header", ["sha256:../../v2/x", "sha256:abc", "md5:" + "0" * 32, "\u00e9"])
    def test_a_header_that_is_no_digest_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, header: str
    ) -> None:
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(200, b"{}", {"Docker-Content-Digest": header}))

        with pytest.raises(DataLoss, match="invalid digest"):
            run(resolve(threads, reference))

    def test_an_endless_manifest_is_cut_off(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(405))
        fake.script("GET", "/v2/team/app/manifests/1", Answer(200, endless=True))

        with pytest.raises(InvalidArgument, match="more than 4194304 bytes"):
            run(resolve(threads, reference))

    def test_retry_after_is_honoured(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        found = fake.add_image("team/app", "1", [LAYER])
        data = fake.manifests["team/app", "1"][1]
        good = Answer(200, data, {"Docker-Content-Digest": found})
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(429, headers={"Retry-After": "0"}), good)

        assert run(resolve(threads, reference)).digest == found  # type: ignore[attr-defined]

    def test_a_limit_of_the_rate_is_told(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down\\u001b[2J"}]}'
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(405))
        fake.script("GET", "/v2/team/app/manifests/1", Answer(429, body, {"Retry-After": "3600"}))

        with pytest.raises(ResourceExhausted, match=r"^toomanyrequests: slow down\?\[2J$"):
            run(resolve(threads, reference))

    def test_nobody_there_is_said_at_once(self, threads: Threads) -> None:
        reference = parse_normalized("127.0.0.1:1/team/app:1")

        with pytest.raises(Unavailable, match="connection refused"):
            run(resolve(threads, reference))

    def test_a_cancelled_call_lets_its_thread_go(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.script("HEAD", "/v2/team/app/manifests/1", Answer(silent=True))

        async def cancel() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await resolve(threads, reference)
            await asyncio.wait_for(asyncio.gather(*(threads.transfer(int) for _ in range(4))), 2)

        run(cancel())


class TestFetch:
    def test_a_blob_arrives_whole(self, fake: FakeRegistry, threads: Threads, reference: Reference) -> None:
        fake.add_blob(LAYER)
        sink = Sink()

        run(fetch(threads, reference, layer_of(LAYER), sink))

        assert bytes(sink.data) == LAYER

    def test_a_broken_connection_is_taken_up_where_it_broke(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        path = f"/v2/team/app/blobs/{fake.add_blob(LAYER)}"
        rest = {"Content-Range": f"bytes 500000-{len(LAYER) - 1}/{len(LAYER)}"}
        fake.script("GET", path, Answer(200, LAYER, cut=500_000), Answer(206, LAYER[500_000:], rest))
        sink = Sink()

        run(fetch(threads, reference, layer_of(LAYER), sink))

        assert bytes(sink.data) == LAYER
        assert fake.requests[-1].headers["Range"] == "bytes=500000-"

    def test_a_registry_without_ranges_starts_over(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.script("GET", f"/v2/team/app/blobs/{fake.add_blob(LAYER)}", Answer(200, LAYER))
        sink = Sink(LAYER[:1000])

        run(fetch(threads, reference, layer_of(LAYER), sink))

        assert bytes(sink.data) == LAYER

    @pytest.mark.parametrize("start", [1, 999, 1001])
    def test_an_answer_to_another_range_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, start: int
    ) -> None:
        headers = {"Content-Range": f"bytes {start}-{len(LAYER) - 1}/{len(LAYER)}"}
        path = f"/v2/team/app/blobs/{fake.add_blob(LAYER)}"
        fake.script("GET", path, Answer(206, LAYER[start:], headers))

        with pytest.raises(DataLoss, match="expected bytes 1000-"):
            run(fetch(threads, reference, layer_of(LAYER), Sink(LAYER[:1000])))

    def test_a_part_that_nobody_asked_for_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        headers = {"Content-Range": f"bytes 0-{len(LAYER) - 1}/{len(LAYER)}"}
        fake.script("GET", f"/v2/team/app/blobs/{fake.add_blob(LAYER)}", Answer(206, LAYER, headers))

        with pytest.raises(DataLoss):
            run(fetch(threads, reference, layer_of(LAYER), Sink()))

    def test_an_endless_blob_is_cut_off_at_its_size(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.script("GET", f"/v2/team/app/blobs/{digest(LAYER)}", Answer(200, endless=True))
        sink = Sink()

        with pytest.raises(DataLoss, match="more than its 1024000 bytes"):
            run(fetch(threads, reference, layer_of(LAYER), sink))

        assert sink.offset <= len(LAYER)

    def test_a_wrong_length_is_refused_before_the_first_byte(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.add_blob(LAYER)
        sink = Sink()

        with pytest.raises(DataLoss, match="expected 77 bytes"):
            run(fetch(threads, reference, layer_of(LAYER, size=77), sink))

        assert not sink.data

    def test_a_blob_that_never_ends_whole_is_given_up(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        path = f"/v2/team/app/blobs/{fake.add_blob(LAYER)}"
        fake.script("GET", path, Answer(200, LAYER, cut=0))

        with pytest.raises(Unavailable, match="connection"):
            run(fetch(threads, reference, layer_of(LAYER), Sink()))

        assert len(fake.seen("GET", path)) == OPTIONS.attempts


class TestRedirects:
    def test_credentials_do_not_follow_to_another_origin(
        self, fake: FakeRegistry, other: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.accepts, fake.challenge = BASIC_HEADER, 'Basic realm="x"'
        other.add_blob(LAYER)
        path = f"/v2/team/app/blobs/{digest(LAYER)}"
        fake.script("GET", path, Answer(307, headers={"Location": f"{other.url}{path}"}))
        fake.add_image("team/app", "1", [LAYER])

        async def pull() -> None:
            async with Registry(reference, credentials=BASIC, options=OPTIONS, threads=threads) as registry:
                await registry.resolve(reference)
                await registry.fetch(layer_of(LAYER), Sink().open, lambda _: None)

        run(pull())

        assert fake.seen("GET", path)[0].headers["Authorization"] == BASIC_HEADER
        assert "Authorization" not in other.seen("GET", path)[0].headers

    def test_a_challenge_of_the_other_origin_gets_no_answer(
        self, fake: FakeRegistry, other: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        path = f"/v2/team/app/blobs/{digest(LAYER)}"
        fake.script("GET", path, Answer(307, headers={"Location": f"{other.url}/x"}))
        other.script("GET", "/x", Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))

        async def pull() -> None:
            async with Registry(reference, credentials=BASIC, options=OPTIONS, threads=threads) as registry:
                await registry.fetch(layer_of(LAYER), Sink().open, lambda _: None)

        with pytest.raises(PullDenied):
            run(pull())
        assert all("Authorization" not in seen.headers for seen in other.requests)

    @pytest.mark.parametrize(
        "location",
        [
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "http://ann:x@127.0.0.1/",
            "http://169.254.169.254/",
            "//",
            "\\x",
        ],
    )
    def test_a_redirect_astray_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, location: str
    ) -> None:
        path = f"/v2/team/app/blobs/{digest(LAYER)}"
        fake.script("GET", path, Answer(302, headers={"Location": location}))

        with pytest.raises(RefusedAddress):
            run(fetch(threads, reference, layer_of(LAYER), Sink()))

    def test_a_circle_of_redirects_ends(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        path = f"/v2/team/app/blobs/{digest(LAYER)}"
        fake.script("GET", path, Answer(302, headers={"Location": path}))

        with pytest.raises(RefusedAddress, match="redirects more than"):
            run(fetch(threads, reference, layer_of(LAYER), Sink()))


class TestAuthorization:
    def test_basic_without_credentials_says_so(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.accepts, fake.challenge = BASIC_HEADER, 'Basic realm="Registry"'

        with pytest.raises(NoCredentials, match=r"^no basic auth credentials$"):
            run(resolve(threads, reference))

    def test_credentials_of_another_registry_stay_here(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.accepts, fake.challenge = BASIC_HEADER, 'Basic realm="Registry"'
        credentials = Credentials(
            username="ann", password="secret", server_address="https://index.docker.io/v1/"
        )

        with pytest.raises(NoCredentials):
            run(resolve(threads, reference, credentials))
        assert all("Authorization" not in seen.headers for seen in fake.requests)

    def test_wrong_basic_credentials_are_tried_once(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.accepts, fake.challenge = "Basic other", 'Basic realm="Registry"'

        with pytest.raises(PullDenied):
            run(resolve(threads, reference, BASIC))
        assert len(fake.seen("HEAD")) == 2

    def test_a_token_is_fetched_with_the_scope_and_used(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        found = fake.add_image("team/app", "1", [LAYER])
        fake.accepts = "Bearer tok"
        fake.challenge = f'Bearer realm="{fake.url}/token",service="fake",scope="repository:team/app:pull"'
        fake.script("GET", "/token", Answer(200, b'{"token":"tok","expires_in":300}'))

        assert run(resolve(threads, reference, BASIC)).digest == found  # type: ignore[attr-defined]

        asked = fake.seen("GET", "/token")[0]
        assert asked.query["scope"] == ["repository:team/app:pull"]
        assert asked.query["service"] == ["fake"]
        assert asked.headers["Authorization"] == BASIC_HEADER

    def test_requests_at_once_share_a_token(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER])
        fake.accepts = "Bearer tok"
        fake.challenge = f'Bearer realm="{fake.url}/token",service="fake"'
        fake.script("GET", "/token", Answer(200, b'{"token":"tok","expires_in":300}'))

        async def resolve_four_times() -> None:
            async with Registry(reference, credentials=BASIC, options=OPTIONS, threads=threads) as registry:
                await asyncio.gather(*(registry.resolve(reference) for _ in range(4)))

        run(resolve_four_times())

        assert len(fake.seen("GET", "/token")) == 1

    def test_an_identity_token_is_posted(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER])
        fake.accepts = "Bearer tok"
        fake.challenge = f'Bearer realm="{fake.url}/token",service="fake"'
        fake.script("POST", "/token", Answer(200, b'{"access_token":"tok"}'))

        run(resolve(threads, reference, Credentials(identity_token="refresh")))

        asked = fake.seen("POST", "/token")[0]
        assert b"grant_type=refresh_token" in asked.body
        assert b"refresh_token=refresh" in asked.body

    def test_a_realm_astray_gets_no_credentials(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.accepts = "Bearer tok"
        fake.challenge = 'Bearer realm="https://tokens.example.com/token",service="fake"'

        with pytest.raises(PermissionDenied, match=r"a host of another domain"):
            run(resolve(threads, reference, BASIC))

    def test_a_realm_on_plain_http_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.accepts = "Bearer tok"
        fake.challenge = 'Bearer realm="http://tokens.example.com/token",service="fake"'

        with pytest.raises(PermissionDenied, match="plain http"):
            run(resolve(threads, reference))

    @pytest.mark.parametrize("body", [b"{}", b'{"token":7}', b'{"token":"a\\nb"}', b"[]", b"x"])
    def test_a_token_that_is_none_is_refused(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, body: bytes
    ) -> None:
        fake.accepts = "Bearer tok"
        fake.challenge = f'Bearer realm="{fake.url}/token",service="fake"'
        fake.script("GET", "/token", Answer(200, body))

        with pytest.raises((Unauthenticated, InvalidArgument)):
            run(resolve(threads, reference))

    @pytest.mark.parametrize("token", ["a\r\nX: y", "a b", "\u00e9"])
    def test_a_registry_token_cannot_break_the_header(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, token: str
    ) -> None:
        with pytest.raises(InvalidArgument, match="invalid registry token"):
            run(resolve(threads, reference, Credentials(registry_token=token)))
        assert not fake.requests

    def test_a_registry_token_is_sent_as_it_is(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.add_image("team/app", "1", [LAYER])
        fake.accepts, fake.challenge = "Bearer t0ken", "Bearer"

        assert run(resolve(threads, reference, Credentials(registry_token="t0ken")))

    def test_secrets_are_not_in_representations(self) -> None:
        credentials = Credentials(
            username="ann", password="MARK", identity_token="MARK", registry_token="MARK"
        )

        assert "MARK" not in repr(credentials)
        assert "MARK" not in str(credentials)


class TestPush:
    async def push(
        self, threads: Threads, reference: Reference, data: bytes, **sources: tuple[str, ...]
    ) -> str:
        async with Registry(reference, credentials=BASIC, options=OPTIONS, threads=threads) as registry:
            pushed = await registry.push_blob(
                layer_of(data), lambda: io.BytesIO(data), on_bytes=lambda _: None, **sources
            )
            return pushed.how

    def test_a_blob_arrives_whole(self, fake: FakeRegistry, threads: Threads, reference: Reference) -> None:
        assert run(self.push(threads, reference, LAYER)) == "pushed"
        assert fake.blobs[digest(LAYER)] == LAYER

    @pytest.mark.parametrize("data", [b"", b"x", LAYER])
    def test_a_broken_upload_goes_on_in_pieces(
        self, fake: FakeRegistry, threads: Threads, reference: Reference, data: bytes
    ) -> None:
        fake.script("PUT", "/v2/team/app/blobs/uploads/1", Answer(503))

        assert run(self.push(threads, reference, data)) == "pushed"
        assert fake.blobs[digest(data)] == data

    def test_a_piece_that_is_refused_is_sent_again_from_where_the_registry_is(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.script("PUT", "/v2/team/app/blobs/uploads/1", Answer(503))
        location = {"Location": "/v2/team/app/blobs/uploads/2"}
        fake.script("PATCH", "/v2/team/app/blobs/uploads/2", Answer(413, headers=location))

        with pytest.raises(Unavailable, match="413"):
            run(self.push(threads, reference, LAYER))

    def test_pieces_are_as_long_as_the_registry_wants_them(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        data = bytes(21 << 20)
        fake.script("PUT", "/v2/team/app/blobs/uploads/1", Answer(503))
        fake.least_piece = 10 << 20

        assert run(self.push(threads, reference, data)) == "pushed"

        assert [len(seen.body) for seen in fake.seen("PATCH")] == [10 << 20, 10 << 20, 1 << 20]

    def test_what_is_there_is_not_sent(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.add_blob(LAYER)

        assert run(self.push(threads, reference, LAYER)) == "exists"
        assert not fake.seen("POST")

    def test_a_blob_of_another_repository_is_mounted(
        self, fake: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        path = f"/v2/team/app/blobs/{fake.add_blob(LAYER)}"
        fake.script("HEAD", path, Answer(404))

        assert run(self.push(threads, reference, LAYER, sources=("team/base",))) == "mounted"
        assert fake.seen("POST")[0].query["from"] == ["team/base"]

    def test_a_location_elsewhere_gets_no_credentials(
        self, fake: FakeRegistry, other: FakeRegistry, threads: Threads, reference: Reference
    ) -> None:
        fake.accepts, fake.challenge = BASIC_HEADER, 'Basic realm="x"'
        fake.script("HEAD", f"/v2/team/app/blobs/{digest(LAYER)}", Answer(404))
        fake.script(
            "POST", "/v2/team/app/blobs/uploads/", Answer(202, headers={"Location": f"{other.url}/put"})
        )
        other.script("PUT", "/put", Answer(201))

        assert run(self.push(threads, reference, LAYER)) == "pushed"
        assert "Authorization" not in other.seen("PUT")[0].headers

    def test_a_refused_push_says_so(self, fake: FakeRegistry, threads: Threads, reference: Reference) -> None:
        fake.script("HEAD", f"/v2/team/app/blobs/{digest(LAYER)}", Answer(403))

        with pytest.raises(PushDenied, match=r"^push access denied, repository does not exist or may"):
            run(self.push(threads, reference, LAYER))


class TestRoutes:
    def test_a_proxy_of_the_environment_is_used(
        self, fake: FakeRegistry, threads: Threads, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", fake.url)
        monkeypatch.setenv("https_proxy", fake.url)
        monkeypatch.delenv("no_proxy", raising=False)
        found = fake.add_image("team/app", "1", [LAYER])
        reference = parse_normalized("registry.test/team/app:1")
        options = RegistryOptions(attempts=1, insecure=("registry.test",))

        async def ask() -> Descriptor:
            async with Registry(reference, credentials=None, options=options, threads=threads) as registry:
                return (await registry.resolve(reference)).descriptor

        assert run(ask()).digest == found  # type: ignore[attr-defined]
        assert fake.seen("HEAD")[0].headers["Host"] == "registry.test"

    def test_a_mirror_serves_and_what_it_lacks_comes_from_elsewhere(
        self, fake: FakeRegistry, other: FakeRegistry, threads: Threads
    ) -> None:
        other.add_image("library/app", "1", [LAYER])
        reference = parse_normalized("app:1")
        options = RegistryOptions(attempts=1, mirrors=(fake.url, other.url))

        async def ask() -> Descriptor:
            async with Registry(reference, credentials=BASIC, options=options, threads=threads) as registry:
                return (await registry.resolve(reference)).descriptor

        assert run(ask())
        assert fake.seen("HEAD")
        assert all("Authorization" not in seen.headers for seen in [*fake.requests, *other.requests])

    def test_a_mirror_that_lies_is_not_passed_over(
        self, fake: FakeRegistry, other: FakeRegistry, threads: Threads
    ) -> None:
        found = other.add_image("library/app", "1", [LAYER])
        fake.add_manifest("library/app", found, {"other": 1})
        reference = parse_normalized(f"app@{found}")
        options = RegistryOptions(attempts=1, mirrors=(fake.url, other.url))

        async def ask() -> None:
            async with Registry(reference, credentials=None, options=options, threads=threads) as registry:
                await registry.resolve(reference)

        with pytest.raises(ManifestMismatch):
            run(ask())
