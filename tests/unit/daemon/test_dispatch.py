"""What every answer has in common: version, headers, failures, and who is not served."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest

from wherry import errors
from wherry.daemon import answers
from wherry.daemon.dispatch import Dispatcher
from wherry.daemon.request import Request
from wherry.daemon.routing import Router
from wherry.engine.engine import Engine
from wherry.web import messages as web
from wherry.web.body import RequestBody

routes = Router()
ENGINE = cast(Engine, object())


class Body(msgspec.Struct, rename="pascal"):
    """A body with one member."""

    name: str = ""


@routes.get("/fine/{name...}")
async def fine(request: Request, engine: Engine) -> web.Response:
    assert engine is ENGINE
    return answers.json({"path": dict(request.path), "version": list(request.version)})


@routes.get("/query")
async def query(request: Request, engine: Engine) -> web.Response:
    return answers.json(
        {
            "flag": request.boolean("flag"),
            "number": request.integer("number"),
            "filters": request.filters(),
            "all": request.query.all("x"),
        }
    )


@routes.post("/json")
async def body(request: Request, engine: Engine) -> web.Response:
    return answers.json({"name": (await request.json(Body)).name})


@routes.get("/fail/{kind}")
async def fail(request: Request, engine: Engine) -> web.Response:
    raise getattr(errors, request.path["kind"], RuntimeError)("some text")


@routes.get("/progress/{after}")
async def progress(request: Request, engine: Engine) -> web.Response:
    async def records(count: int) -> AsyncIterator[dict[str, Any]]:
        for number in range(count):
            yield {"status": str(number)}
        raise errors.NotFound("gone")

    return await answers.progress_stream(records(int(request.path["after"])))


@routes.post("/attach")
async def attach(request: Request, engine: Engine) -> web.Hijack:
    async def connect(fd: int, early: bytes) -> None:
        """Never called here."""

    return answers.hand_over(request, connect, tty=request.boolean("tty"))


def ask(
    method: str,
    target: str,
    *,
    fields: list[tuple[str, str]] | None = None,
    data: bytes = b"",
    channel: web.Channel = "unix",
) -> Any:
    """The answer to one request; a streamed body is read."""

    async def scenario() -> tuple[Any, dict[str, str], bytes]:
        held = RequestBody()
        held.feed(data)
        held.end()
        request = web.Request(
            method, target, web.Headers(fields or []), held, protocol="HTTP/1.1", channel=channel
        )
        answer = await Dispatcher(routes, ENGINE, server="Docker/x (linux)")(request)
        body: Any = b"" if isinstance(answer, web.Hijack) else answer.body
        whole = body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])
        return answer, dict(answer.headers), whole

    return asyncio.run(scenario())


def test_every_answer_names_the_engine_and_its_newest_version() -> None:
    answer, fields, body = ask("GET", "/v1.44/fine/a/b")

    assert answer.status == 200
    assert json.loads(body) == {"path": {"name": "a/b"}, "version": [1, 44]}
    assert {name: fields[name] for name in ("Api-Version", "Ostype", "Server", "Docker-Experimental")} == {
        "Api-Version": "1.56",
        "Ostype": "linux",
        "Server": "Docker/x (linux)",
        "Docker-Experimental": "false",
    }


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("/nope", 404, "page not found"),
        ("/v1.99/nope", 404, "page not found"),
        ("/v1.99/query", 400, "client version 1.99 is too new. Maximum supported API version is 1.56"),
        ("/fine/%zz", 400, "invalid URL escape in the path"),
        ("/fine/%ff", 400, "the path is not UTF-8"),
        ("http://x/query", 400, "the request target is not a path"),
        ("//query", 404, "page not found"),
        ("/./query", 404, "page not found"),
        ("/query?filters=x", 400, "invalid filter"),
        ("/query?number=x", 400, "invalid value 'x' for number: expected a whole number"),
        ("/fail/NotFound", 404, "some text"),
        ("/fail/Conflict", 409, "some text"),
        ("/fail/Unavailable", 503, "some text"),
        ("/fail/RuntimeError", 500, "some text"),
    ],
)
def test_a_failure_is_a_status_and_a_message(target: str, status: int, message: str) -> None:
    answer, fields, body = ask("GET", target)

    assert answer.status == status
    assert fields["Content-Type"] == "application/json"
    assert json.loads(body) == {"message": message}


def test_nothing_changed_has_no_body() -> None:
    answer, _, body = ask("GET", "/fail/NotModified")

    assert (answer.status, body) == (304, b"")


def test_a_client_from_long_ago_reads_plain_text() -> None:
    answer, fields, body = ask("GET", "/v1.12/query")

    assert answer.status == 400
    assert fields["Content-Type"].startswith("text/plain")
    assert body.startswith(b"client version 1.12 is too old.")


def test_an_escape_is_decoded_once() -> None:
    _, _, body = ask("GET", "/fine/a%2Fb%252F")

    assert json.loads(body)["path"] == {"name": "a/b%2F"}


def test_parameters_have_types() -> None:
    _, _, body = ask("GET", "/query?flag=True&number=-1&x=1&x=2&filters=%7B%22a%22%3A%7B%22b%22%3Atrue%7D%7D")

    assert json.loads(body) == {"flag": True, "number": -1, "filters": {"a": ["b"]}, "all": ["1", "2"]}


@pytest.mark.parametrize("value", ["", "0", "no", "false", "none", "FALSE"])
def test_a_parameter_can_say_no(value: str) -> None:
    assert json.loads(ask("GET", f"/query?flag={value}")[2])["flag"] is False


def test_options_is_answered_everywhere() -> None:
    assert ask("OPTIONS", "/anything")[0].status == 200


class TestBodies:
    @pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
    def test_json_is_read(self, kind: str) -> None:
        fields = [("content-type", kind), ("content-length", "1")]

        assert json.loads(ask("POST", "/json", fields=fields, data=b'{"name": "x"}')[2]) == {"name": "x"}

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_another_type_is_refused(self, kind: str) -> None:
        fields = [("content-type", kind), ("content-length", "1")]

        answer, _, body = ask("POST", "/json", fields=fields, data=b"{}")

        assert answer.status == 400
        assert json.loads(body)["message"] == (
            f"unsupported Content-Type header ({kind}): must be 'application/json'"
        )

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "invalid JSON: got EOF while reading request body"),
            (b"{} {}", "unexpected content after JSON"),
            (b"{", "invalid JSON: "),
            (b'{"Name": 1}', "invalid JSON: "),
            (b"[" * 100_000, "invalid JSON: "),
        ],
    )
    def test_what_is_no_json_is_refused(self, data: bytes, message: str) -> None:
        fields = [("content-type", "application/json"), ("content-length", str(len(data)))]

        answer, _, body = ask("POST", "/json", fields=fields, data=data)

        assert answer.status == 400
        assert json.loads(body)["message"].startswith(message)

    def test_a_body_without_end_is_a_413(self) -> None:
        fields = [("content-type", "application/json"), ("content-length", "1")]

        assert ask("POST", "/json", fields=fields, data=b" " * 5_000_000)[0].status == 413


class TestProgress:
    def test_a_failure_before_the_first_record_is_a_status(self) -> None:
        answer, _, body = ask("GET", "/progress/0")

        assert answer.status == 404
        assert json.loads(body) == {"message": "gone"}

    def test_a_later_failure_is_the_last_record(self) -> None:
        answer, _, body = ask("GET", "/progress/2")

        assert answer.status == 200
        assert [json.loads(line) for line in body.splitlines()] == [
            {"status": "0"},
            {"status": "1"},
            {"errorDetail": {"code": 404, "message": "gone"}, "error": "gone"},
        ]


class TestHandingOver:
    @pytest.mark.parametrize(
        ("target", "kind"),
        [
            ("/attach", "application/vnd.docker.multiplexed-stream"),
            ("/v1.41/attach", "application/vnd.docker.raw-stream"),
            ("/attach?tty=1", "application/vnd.docker.raw-stream"),
        ],
    )
    def test_an_upgrade_is_a_101_of_the_streams_type(self, target: str, kind: str) -> None:
        answer, fields, _ = ask("POST", target, fields=[("connection", "Upgrade"), ("upgrade", "tcp")])

        assert (answer.status, answer.reason) == (101, "UPGRADED")
        assert (fields["Content-Type"], fields["Connection"], fields["Upgrade"]) == (kind, "Upgrade", "tcp")

    def test_without_an_upgrade_it_is_a_200_of_the_old_type(self) -> None:
        answer, fields, _ = ask("POST", "/attach")

        assert answer.status == 200
        assert fields["Content-Type"] == "application/vnd.docker.raw-stream"
        assert "Upgrade" not in fields


class TestOrigin:
    @pytest.mark.parametrize(
        "fields",
        [
            [("host", "evil.test")],
            [("host", "evil.test:2375")],
            [("host", "localhost:2375"), ("origin", "http://evil.test")],
            [("host", "localhost:2375"), ("origin", "null")],
            [("host", "localhost:2375"), ("sec-fetch-site", "cross-site")],
        ],
    )
    def test_a_web_page_is_refused_over_tcp(self, fields: list[tuple[str, str]]) -> None:
        assert ask("GET", "/query", fields=fields, channel="tcp")[0].status == 403

    @pytest.mark.parametrize("host", ["localhost:2375", "127.0.0.1:2375", "[::1]:2375", "10.1.2.3", "docker"])
    def test_a_client_is_served_over_tcp(self, host: str) -> None:
        assert ask("GET", "/query", fields=[("host", host)], channel="tcp")[0].status == 200

    @pytest.mark.parametrize("channel", ["unix", "tls"])
    def test_names_matter_neither_on_a_unix_socket_nor_over_tls(self, channel: web.Channel) -> None:
        fields = [("host", "anything.example:2376")]

        assert ask("GET", "/query", fields=fields, channel=channel)[0].status == 200
