"""What users can say to wherry, taken from the code, stands in the documentation.

A new route, command, flag, field, failure, option or fault point that no document names fails here.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from wherry import errors
from wherry.api.errors import STATUS
from wherry.api.types import ContainerConfig, ContainerCreateRequest, HostConfig
from wherry.cli import commands
from wherry.cli.commands import Entry
from wherry.cli.flags import parse
from wherry.cli.main import global_flags, load
from wherry.daemon.options import OPTIONS, parse_flags
from wherry.daemon.routes import all_routes, swarm
from wherry.engine.containers import checks
from wherry.runtime import main as runtime

ROOT = Path(__file__).parents[2]
COMPATIBILITY = (ROOT / "docs/compatibility.md").read_text()
DAEMON_GUIDE = (ROOT / "docs/guides/daemon.md").read_text()
RUNTIME_GUIDE = (ROOT / "docs/guides/runtime-under-podman-and-containerd.md").read_text()


def rows(section: str) -> list[list[str]]:
    """The cells of every table row beneath the heading `section` of the compatibility table."""
    found = re.search(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", COMPATIBILITY, re.MULTILINE | re.DOTALL)
    assert found, f"docs/compatibility.md has no section {section!r}"
    lines = [line for line in found[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def code_words(text: str) -> set[str]:
    """Everything between single backticks."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)))


def documented(section: str) -> set[str]:
    """Everything between backticks in the first cells of a section."""
    return {word for cells in rows(section) for word in code_words(cells[0])}


# The command line.


def flag_names(entry: Entry) -> set[str]:
    """A command's flags as they are typed, but for the hidden ones."""
    command, _ = load(entry)
    return {f"--{flag.name}" for flag in command.flags if not flag.hidden}


@pytest.mark.parametrize("path", sorted(commands.ENTRIES))
def test_a_command_is_documented_with_all_its_flags(path: str) -> None:
    entry = commands.ENTRIES[path]

    row = next((cells for cells in rows("Commands") if f"`{path}`" in cells[0]), None)

    assert row, f"docs/compatibility.md, Commands: no row for `{path}`"
    shared = {word for cells in rows("Flags of run and create") for word in code_words(cells[0])}
    known = code_words(" ".join(row)) | (shared if path in {"container run", "container create"} else set())
    missing = flag_names(entry) - known
    assert not missing, f"docs/compatibility.md, Commands, `{path}`: {sorted(missing)}"
    assert not entry.top or f"`{entry.top}`" in row[0], f"`{path}` is also `{entry.top}`"


def test_the_table_of_commands_names_none_that_is_not_there() -> None:
    known = set(commands.ENTRIES) | set(commands.TOP)

    assert documented("Commands") <= known | {f"--{flag.name}" for flag in global_flags()}


def test_the_global_flags_are_documented() -> None:
    assert {f"--{flag.name}" for flag in global_flags()} <= code_words(COMPATIBILITY)


# The Engine API.


def routes() -> set[str]:
    return {
        f"{route.method} {route.pattern.replace('...', '')}".rstrip("/")
        for route in all_routes().routes
        if route.handler is not swarm.refuse  # that family has a sentence of its own
    }


def test_the_swarm_family_is_documented() -> None:
    nouns = {
        f"/{route.pattern.split('/')[1]}" for route in all_routes().routes if route.handler is swarm.refuse
    }

    assert nouns <= code_words(COMPATIBILITY)


@pytest.mark.parametrize("route", sorted(routes()))
def test_a_route_is_documented(route: str) -> None:
    assert route in documented("Engine API"), f"docs/compatibility.md, Engine API: no row for `{route}`"


def test_no_route_that_is_said_to_work_is_missing_from_the_router() -> None:
    served = routes()

    for cells in rows("Engine API")[2:]:
        if not cells[1].startswith("not yet") or "answers" in cells[1]:
            assert code_words(cells[0]) <= served, f"docs/compatibility.md: {cells[0]} is not served"


def test_a_route_that_is_served_is_not_called_missing() -> None:
    for cells in rows("Engine API")[2:]:
        if cells[1].startswith("not yet") and "answers" not in cells[1]:
            assert not code_words(cells[0]) & routes(), f"docs/compatibility.md: {cells[0]} is served"


def wire_names(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize("struct", [ContainerConfig, ContainerCreateRequest, HostConfig])
def test_a_field_of_a_container_is_documented(struct: type[msgspec.Struct]) -> None:
    missing = wire_names(struct) - documented("Fields of a container")

    assert not missing


def test_every_log_driver_and_failure_kind_is_documented() -> None:
    assert checks.LOG_DRIVERS - {""} <= code_words(COMPATIBILITY)
    for kind in errors.KINDS:
        row = next((cells for cells in rows("Failures") if cells[0] == f"`{kind.__name__}`"), None)
        assert row, f"docs/compatibility.md, Failures: no row for {kind.__name__}"
        assert row[1] == str(STATUS[kind])


# The programs.


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_of_the_daemon_is_documented(option: object) -> None:
    name, key, in_file = (getattr(option, word) for word in ("name", "file_key", "in_file"))

    row = next((line for line in DAEMON_GUIDE.splitlines() if line.startswith(f"| `--{name}`")), None)

    assert row, f"docs/guides/daemon.md: no row for --{name}"
    assert f"| `{key}` |" in row if in_file else "| flag only |" in row


def test_every_command_of_the_runtime_is_documented() -> None:
    assert {f"wherry-runtime {name}" for name in runtime._COMMANDS} <= code_words(RUNTIME_GUIDE)


# Fault points.


def fault_points() -> Iterator[tuple[str, Path]]:
    for source in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "fault_point"
            ):
                (argument,) = node.args
                assert isinstance(argument, ast.Constant), f"{source}: a fault point's name is a literal"
                yield str(argument.value), source


def test_a_fault_point_stands_once_in_the_source() -> None:
    names = [name for name, _ in fault_points()]

    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})


def test_every_area_of_fault_points_is_documented() -> None:
    areas = {name.partition(".")[0] for name, _ in fault_points()}
    table = DAEMON_GUIDE.partition("## Fault points")[2]

    assert areas <= code_words(table), sorted(areas - code_words(table))
    named = {word for line in table.splitlines() if line.startswith("| `") for word in code_words(line)}
    assert named <= areas, f"no longer in the source: {sorted(named - areas)}"


# Documents.


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_points_to_is_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document}: {target}"


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_files_a_document_names_are_there(document: Path) -> None:
    """A path in backticks that ends in .py is one of the tree, or below src/wherry or tests."""
    for name in code_words(document.read_text()):
        if re.fullmatch(r"[\w./-]+\.py", name) and "/" in name:
            places = [ROOT / name, ROOT / "src/wherry" / name, ROOT / "tests" / name]
            assert any(place.exists() for place in places), f"{document}: {name}"


def test_the_tests_that_show_what_works_are_there() -> None:
    for word in code_words(COMPATIBILITY):
        if re.match(r"(unit|contract|integration|conformance)/", word):
            assert (ROOT / "tests" / word).exists(), word


def test_the_functions_a_flow_names_are_there() -> None:
    """Names in backticks with an underscore or a capital inside are the code's."""
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    known = set(re.findall(r"\w+", source))

    for document in [ROOT / "ARCHITECTURE.md", *(ROOT / "docs/flows").glob("*.md")]:
        for word in code_words(document.read_text()):
            if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)?", word) and re.search(r"_|[a-z][A-Z]", word):
                missing = set(word.split(".")) - known
                assert not missing, f"{document}: {word}"


@pytest.mark.parametrize("folder", ["docs", "docs/guides", "docs/flows", "docs/formats", "docs/decisions"])
def test_the_index_names_every_document(folder: str) -> None:
    index = (ROOT / "docs/README.md").read_text()

    for document in (ROOT / folder).glob("*.md"):
        if document.name != "README.md":
            assert f"]({document.relative_to(ROOT / 'docs')})" in index, document.name


# Commands in documents.


def shell_lines(document: Path) -> Iterator[str]:
    """The commands in the shell blocks of a document."""
    for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
        prompts = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        yield from prompts or block.splitlines()


def program_calls(line: str) -> Iterator[list[str]]:
    """The words of each call of `wherry` or `wherryd` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>()")
    lexer.whitespace_split = True
    call: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|;&<>()"):
            if call and call[0] in {"wherry", "wherryd"}:
                yield call
            call = []
        elif call or "=" not in word:  # a variable for the call stands before it
            call.append(word)


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_in_a_document_are_ones_that_parse(document: Path) -> None:
    for line in shell_lines(document):
        for program, *words in program_calls(line):
            if program == "wherryd":
                parse_flags(words)
            else:
                parse_command(words)


def parse_command(words: list[str]) -> None:
    """Read `words` as the command line does; a wrong flag, command or count of arguments raises."""
    _, rest = parse(global_flags(), words, interspersed=False)
    entry = commands.TOP.get(rest[0])
    if entry is None:
        found = commands.find(rest[0], rest[1])
        assert found, rest
        entry, rest = found[1], rest[1:]
    command, _ = load(entry)
    _, arguments = parse(command.flags, rest[1:], interspersed=command.interspersed)
    assert command.minimum <= len(arguments), rest
    assert command.maximum is None or len(arguments) <= command.maximum, rest


def test_there_are_commands_in_the_documents() -> None:
    calls = [
        call for document in documents() for line in shell_lines(document) for call in program_calls(line)
    ]

    assert len(calls) > 50
