"""Whatever a registry answers, the client ends with the right bytes or a failure that has a kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.registry import OCI_LAYER, Answer, FakeRegistry, digest
from tests.unit.core.remotes.test_registry_client import Sink

from wherry.core.remotes import Credentials, RegistryOptions
from wherry.core.remotes.registry import Registry
from wherry.core.threads import Threads
from wherry.errors import WherryError
from wherry.oci.descriptor import Descriptor
from wherry.oci.digest import Digest
from wherry.oci.reference import parse_normalized

LAYER = b"layer" * 1000
OPTIONS = RegistryOptions(attempts=2, backoff_s=0.001, connect_timeout_s=2.0, read_timeout_s=2.0)
REQUEST_LIMIT = 200

headers = st.fixed_dictionaries(
    {},
    optional={
        "Docker-Content-Digest": st.sampled_from([digest(LAYER), digest(b"x"), "sha256:", "nonsense"]),
        "Content-Range": st.sampled_from(["bytes 0-4999/5000", "bytes 5-9/10", "x", "bytes -"]),
        "Location": st.sampled_from(
            ["/v2/a", "http://OTHER/x", "http://169.254.169.254/", "//", "ftp://x", "\u00e9"]
        ),
        "WWW-Authenticate": st.sampled_from(
            [
                "Basic",
                'Bearer realm="http://OTHER/t"',
                "Bearer",
                "Negotiate",
                'Bearer realm="',
                "\u00e9=",
                ",",
            ]
        ),
        "Retry-After": st.sampled_from(["0", "-1", "99999999", "x", "Thu, 01 Jan 1970 00:00:00 GMT"]),
        "Content-Type": st.sampled_from(
            ["application/json", "", "application/vnd.oci.image.index.v1+json", "x;y"]
        ),
        "Range": st.sampled_from(["0-0", "0-99999999", "x", "5-4"]),
    },
)
answers = st.builds(
    Answer,
    status=st.sampled_from([200, 201, 202, 204, 206, 301, 307, 400, 401, 403, 404, 405, 416, 429, 500, 503]),
    body=st.sampled_from(
        [b"", LAYER, LAYER[:-1], LAYER + b"x", b"{}", b'{"token":"t"}', b'{"errors":[{}]}', b"["]
    ),
    headers=headers,
    cut=st.sampled_from([None, None, None, 0, 3]),
)


@pytest.fixture(scope="module")
def threads() -> Iterator[Threads]:
    pools = Threads(transfer=2)
    yield pools
    pools.close()


@given(st.lists(answers, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_conversation_ends(threads: Threads, script: list[Answer]) -> None:
    with FakeRegistry() as fake, FakeRegistry() as other:
        for answer in script:
            answer.headers = {
                name: value.replace("OTHER", other.host) for name, value in answer.headers.items()
            }
        reference = parse_normalized(f"{fake.host}/team/app:1")
        left = list(script)
        fake._serve = lambda _seen: left.pop(0) if len(left) > 1 else left[0]  # type: ignore[method-assign]
        sink = Sink()

        asyncio.run(converse(threads, reference_text=str(reference), sink=sink))

        assert sink.offset <= len(LAYER)
        assert len(fake.requests) + len(other.requests) <= REQUEST_LIMIT
        assert all("Authorization" not in seen.headers for seen in other.requests if seen.path != "/t")


async def converse(threads: Threads, *, reference_text: str, sink: Sink) -> None:
    """Resolve, fetch and push; what fails must fail with a kind."""
    reference = parse_normalized(reference_text)
    credentials = Credentials(username="ann", password="secret")
    blob = Descriptor(OCI_LAYER, Digest(digest(LAYER)), len(LAYER))
    async with Registry(reference, credentials=credentials, options=OPTIONS, threads=threads) as registry:
        for step in (
            lambda: registry.resolve(reference),
            lambda: registry.manifest(blob),
            lambda: registry.fetch(blob, sink.open, lambda _: None),
            lambda: registry.push_manifest("1", OCI_LAYER, LAYER, blob.digest),
        ):
            try:
                async with asyncio.timeout(20):
                    await step()  # type: ignore[no-untyped-call]
            except WherryError:
                pass
