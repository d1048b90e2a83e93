"""The program as its user sees it, in this process and against a scripted daemon."""

# ruff: noqa: E501 — tables, one row a line

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conformance.cli.scripted import CONTAINERS, IDS, routes
from tests.fakes.daemon import FakeDaemon, Reply, Request

from wherry.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "s.sock", routes()) as fake:
        yield fake


@pytest.fixture
def run(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command line: exit code, standard output, standard error."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("WHERRY_HOST", daemon.host)

    def run_it(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capfd.readouterr()
        return code, out, err

    return run_it


def test_without_a_command_and_with_help_the_commands_are_listed(run: Run) -> None:
    assert run()[1] == run("--help")[1]
    assert "Management Commands:" in run("--help")[1]
    assert run("help", "ps")[1] == run("ps", "--help")[1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run"], 1, "wherry: 'wherry run' requires at least 1 argument\n\nUsage:  wherry run [OPTIONS] IMAGE [COMMAND]"),
        (["tag", "a"], 1, "wherry: 'wherry tag' requires 2 arguments"),
        (["ps", "a"], 1, "wherry: 'wherry ps' accepts no arguments"),
        (["port", "a", "b", "c"], 1, "wherry: 'wherry port' requires at least 1 and at most 2 arguments"),
        (["images", "a", "b"], 1, "wherry: 'wherry images' requires at most 1 argument"),
        (["nope"], 1, "wherry: unknown command: wherry nope\n\nRun 'wherry --help' for more information\n"),
        (["image", "nope"], 1, "wherry: unknown command: wherry image nope\n\nUsage:  wherry image\n"),
        (["run", "--x", "a"], 125, "unknown flag: --x\n\nUsage:  wherry run [OPTIONS] IMAGE [COMMAND] [ARG...]\n"),
        (["--x"], 125, "unknown flag: --x\n\nUsage:  wherry [OPTIONS] COMMAND [ARG...]\n"),
        (["inspect", "-f", "{{", "x"], 64, "template parsing error: template: :1: unclosed action\n"),
        (["events", "--format", "{{"], 64, "template: :1: unclosed action"),
        (["ps", "--format", "{{.No}}"], 1, "failed to execute template: template: :1:2: executing"),
        (["-H", "foo://x", "ps"], 1, "Failed to initialize: unable to resolve docker endpoint: invalid bind address"),
        (["run", "--rm", "--restart=always", "a"], 125, "wherry: conflicting options: cannot specify both"),
        (["create", "--restart=x:y", "a"], 125, "wherry: invalid restart policy format: maximum retry count"),
        (["run", "-it", "good"], 1, "cannot attach stdin to a TTY-enabled container because stdin is not a terminal"),
        (["run", "BAD"], 125, "wherry: invalid reference format: repository name (library/BAD) must be lowercase"),
        (["run", "taken"], 125, "wherry: Error response from daemon: Conflict."),
        (["create", "taken"], 1, "Error response from daemon: Conflict."),
        (["run", "broken"], 127, "executable file not found in $PATH\n\nRun 'wherry run --help' for more"),
        (["run", "--pull=never", "missing"], 125, "wherry: Error response from daemon: No such image: missing:latest"),
        (["rm", "busy", "web"], 1, "cannot remove container"),
        (["inspect", "nope"], 1, "error: no such object: nope\n"),
        (["load", "-i", "/nonexistent"], 1, "open /nonexistent: no such file or directory\n"),
        (["volume", "rm", "nope"], 1, "Error response from daemon: remove nope: volume is in use - [abc]\n"),
    ],
)  # fmt: skip
def test_what_goes_wrong_has_its_exit_code_and_dockers_words(
    run: Run, words: list[str], code: int, message: str
) -> None:
    actual, _, err = run(*words)

    assert (actual, message in err) == (code, True), err


def test_run_attaches_and_waits_before_it_starts(run: Run, daemon: FakeDaemon) -> None:
    code, out, err = run("run", "--name", "a", "good")

    assert (code, out) == (7, "hello\n")
    assert err == "WARNING: this is a warning\noops\n"
    container = f"/containers/{IDS[3]}"
    calls = daemon.calls()
    assert calls[0] == "POST /containers/create?name=a"
    assert set(calls[1:3]) == {
        f"POST {container}/wait?condition=next-exit",
        f"POST {container}/attach?stream=1&stdout=1&stderr=1",
    }
    assert calls[3] == f"POST {container}/start"


def test_run_detached_prints_the_id_and_does_not_wait(run: Run, daemon: FakeDaemon) -> None:
    code, out, _ = run("run", "-d", "--rm", "good")

    assert (code, out) == (0, IDS[3] + "\n")
    assert [call.partition("?")[0].rpartition("/")[2] for call in daemon.calls()] == ["create", "start"]
    body = daemon.requests[0].json
    assert isinstance(body, dict)
    assert (body["AttachStdout"], body["HostConfig"]["AutoRemove"]) == (False, True)


@pytest.mark.parametrize("form", ["{{.Server.Version}}", "{{.Nope}}"])
def test_a_version_of_no_daemon_says_that_there_is_none(run: Run, form: str) -> None:
    code, out, err = run("-H", "unix:///nonexistent.sock", "version", "--format", form)

    assert (code, out) == (1, "\n")
    assert err.startswith("failed to connect to the docker API at unix:///nonexistent.sock")


@pytest.mark.parametrize(
    "text",
    [
        "No such image: busybox:latest",
        "image with reference busybox was found but does not provide linux/arm64",
    ],
)
def test_a_missing_image_is_pulled_on_standard_error(run: Run, daemon: FakeDaemon, text: str) -> None:
    seen: list[str] = []

    def create(request: Request, _connection: socket.socket) -> Reply:
        seen.append("create")
        if len(seen) == 1:
            return Reply(404, {"message": text})
        return Reply(201, {"Id": IDS[3], "Warnings": []})

    daemon.script("POST /containers/create", create)

    code, out, err = run("create", "busybox")

    assert (code, out) == (0, IDS[3] + "\n")
    assert err.startswith(
        "Unable to find image 'busybox:latest' locally\nlatest: Pulling from library/busybox\n"
    )
    assert "Downloading" not in err
    assert len(seen) == 2


def test_the_cidfile_holds_the_id_and_is_gone_when_nothing_was_created(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cid"

    assert run("create", "--cidfile", str(path), "taken")[0] == 1
    assert not path.exists()
    assert run("create", "--cidfile", str(path), "good")[0] == 0
    assert path.read_text() == IDS[3]
    assert run("run", "--cidfile", str(path), "good")[0] == 125


def test_the_same_call_for_several_runs_side_by_side(run: Run, daemon: FakeDaemon) -> None:
    code, out, err = run("stop", "-t", "5", "web", "nope", "a")

    assert (code, out) == (1, "web\na\n")
    assert err == "Error response from daemon: No such container: nope\n"
    assert sorted(daemon.calls()) == [
        "POST /containers/a/stop?t=5",
        "POST /containers/nope/stop?t=5",
        "POST /containers/web/stop?t=5",
    ]


def test_rm_with_force_forgives_what_is_not_there(run: Run) -> None:
    assert run("rm", "-f", "nope") == (0, "", "")
    assert run("rm", "nope")[0] == 1


def test_exec_ends_with_the_exit_code_of_the_command_once_it_is_known(run: Run, daemon: FakeDaemon) -> None:
    answers = iter([{"Running": True, "ExitCode": None}, {"Running": False, "ExitCode": 9}])
    daemon.script(rf"GET /exec/{IDS[7]}/json", lambda _request, _connection: Reply(200, next(answers)))

    code, out, _ = run("exec", "-e", "A=b", "-w", "/x", "web", "ls", "-l")

    assert (code, out) == (9, "executed\n")
    body = daemon.requests[0].json
    assert isinstance(body, dict)
    assert (body["Cmd"], body["Env"], body["WorkingDir"]) == (["ls", "-l"], ["A=b"], "/x")


def test_lists_quiet_and_formatted(run: Run) -> None:
    assert run("ps", "-q")[1].split() == [str(container["Id"])[:12] for container in CONTAINERS]
    assert run("ps", "--format", "{{.Names}}|{{.Image}}")[1].splitlines()[0] == "web|nginx:latest"
    records = [json.loads(line) for line in run("ps", "--format", "json")[1].splitlines()]
    assert records[0]["State"] == "running"
    assert run("ps", "-q", "--format", "{{.Image}}")[2].startswith("WARNING: Ignoring custom format")


def test_the_configured_format_is_used_where_none_is_given(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"psFormat": "{{.ID}}!"}))

    assert run("ps")[1].splitlines()[0] == "101010101010!"


def test_inspect_prints_what_it_finds_and_fails_for_the_rest(run: Run) -> None:
    code, out, err = run("inspect", "web", "nope")

    assert code == 1
    assert [document["Name"] for document in json.loads(out)] == ["/web"]
    assert err == "error: no such object: nope\n"
    assert run("inspect", "-f", "{{.State.Health}} {{.Name}}", "web")[1] == "<nil> /web\n"


def test_save_writes_a_whole_file_or_none(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    target = tmp_path / "out.tar"

    assert run("save", "-o", str(target), "nginx")[0] == 0
    assert target.read_bytes() == b"a tar archive"

    cut = Reply(200, b"half", {"Content-Type": "application/x-tar", "Content-Length": "100"})

    def break_off(_request: Request, connection: socket.socket) -> None:
        connection.sendall(cut.encode("GET", "1.51"))

    daemon.script("GET /images/get", break_off)

    code, _, err = run("save", "-o", str(target), "nginx")

    assert (code, err) == (1, "unexpected EOF\n")
    assert target.read_bytes() == b"a tar archive"
    assert sorted(os.listdir(tmp_path)) == ["out.tar", "s.sock"]


def test_a_pull_that_fails_in_the_middle_fails(run: Run, daemon: FakeDaemon) -> None:
    body = b'{"status":"Pulling"}\r\n{"errorDetail":{"message":"disk full"},"error":"disk full"}\r\n'
    daemon.script("POST /images/create", Reply(200, body, {"Content-Type": "application/json"}))

    assert run("pull", "busybox")[0] == 1
    assert run("pull", "-q", "busybox") == (1, "", "disk full\n")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{{.HostConfig.PortBindings}}", "map[80/tcp:[{ 8080}]]"),
        ("{{.HostConfig.RestartPolicy}}", "{no 0}"),
        ("{{.Config.Labels}}", "map[x:y]"),
        ("{{json .HostConfig.RestartPolicy}}", '{"Name":"no","MaximumRetryCount":0}'),
    ],
)
def test_structs_and_maps_of_an_inspected_object_print_as_gos(run: Run, form: str, text: str) -> None:
    assert run("inspect", "-f", form, "web")[1] == text + "\n"


def test_headers_of_the_users_own_go_with_every_call(
    run: Run, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"HttpHeaders": {"X-Meta": "configured", "User-Agent": "no"}})
    )

    run("ps")
    monkeypatch.setenv("DOCKER_CUSTOM_HEADERS", 'X-One=1,"X-Two=a,b"')
    run("ps")

    first, second = (request.headers for request in daemon.requests)
    assert (first["x-meta"], first["user-agent"].partition("/")[0]) == ("configured", "wherry-client")
    assert (second["x-one"], second["x-two"], "x-meta" in second) == ("1", "a,b", False)
    monkeypatch.setenv("DOCKER_CUSTOM_HEADERS", "=x")
    assert run("ps")[2].startswith("invalid DOCKER_CUSTOM_HEADERS")
