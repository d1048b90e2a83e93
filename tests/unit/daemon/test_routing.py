"""Patterns to handlers."""

import pytest

from wherry.daemon.routing import Router


async def handler(request: object, engine: object) -> None:
    """Never called."""


@pytest.fixture
def router() -> Router:
    table = Router()
    for method, pattern in (
        ("GET", "/images/json"),
        ("GET", "/images/get"),
        ("GET", "/images/{name...}/json"),
        ("GET", "/images/{name...}/get"),
        ("DELETE", "/images/{name...}"),
        ("POST", "/containers/create"),
        ("POST", "/containers/{id}/stop"),
    ):
        table.route(method, pattern)(handler)  # type: ignore[type-var]
    return table


@pytest.mark.parametrize(
    ("method", "path", "pattern", "names"),
    [
        ("GET", "/images/json", "/images/json", {}),
        ("GET", "/images/json/json", "/images/{name...}/json", {"name": "json"}),
        ("GET", "/images/r.example:5000/a/b@sha256:0/json", "/images/{name...}/json",
         {"name": "r.example:5000/a/b@sha256:0"}),
        ("GET", "/images/get", "/images/get", {}),
        ("GET", "/images/a/get", "/images/{name...}/get", {"name": "a"}),
        ("DELETE", "/images/a/b:c", "/images/{name...}", {"name": "a/b:c"}),
        ("POST", "/containers/x/stop", "/containers/{id}/stop", {"id": "x"}),
        ("POST", "/containers//x/stop", "/containers/{id}/stop", {"id": "x"}),
        ("POST", "/containers/create", "/containers/create", {}),
    ],
)  # fmt: skip
def test_a_path_finds_its_route(
    router: Router, method: str, path: str, pattern: str, names: dict[str, str]
) -> None:
    found = router.match(method, path)

    assert found
    assert (found[0].pattern, found[1]) == (pattern, names)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images/json"),
        ("GET", "//images/json"),
        ("GET", "/images//json/"),
        ("POST", "/containers/a/b/stop"),
        ("POST", "/containers//stop"),
        ("POST", "/containers///x/stop"),
        ("GET", "/"),
        ("GET", "/images/json\n"),
        ("GET", "/imagesXjson"),
    ],
)
def test_any_other_path_finds_none(router: Router, method: str, path: str) -> None:
    assert router.match(method, path) is None
