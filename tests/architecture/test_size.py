"""A ratchet on size and habits: what is in the lists today may shrink, and nothing may be added."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "wherry"
SOURCES = sorted(SOURCE.rglob("*.py"))

MODULE_LINES = 400
FUNCTION_LINES = 40
LONGER_MODULES = {"api/types.py": 430, "linux/syscalls.py": 530, "web/http1.py": 410, "web/http2.py": 410}
"""Modules beyond the limit, with the lines they may have: tables of data, and two state machines."""
LONGER_FUNCTIONS: dict[str, int] = {}
"""Functions beyond the limit, `path:name`, with the lines they may have: none."""

PRINTING = {"daemon/main.py"}
"""Programs outside cli that talk to a terminal: usage and errors of wherryd."""

_UNFINISHED = re.compile(r"\b(TODO|FIXME|" + "X" * 3 + r")\b")
_HOSTS = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "proxy.go" + "lang.org",
    "crates" + ".io",
    "ruby" + "gems.org",
)
_MACHINE = re.compile(r"(?:(?<![\w.<>{}*/$-])/" + r"work/\w)|(?:\.\./" + r"work\b(?!-))")


def name_of(source: Path) -> str:
    return str(source.relative_to(SOURCE))


def functions(source: Path) -> list[tuple[str, int]]:
    """Each function of a module and its lines, from `def` to its last one."""
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def tracked() -> list[Path]:
    """The text files of the tree, as git knows them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, and an unpacked one may hold anything")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


def test_no_module_is_longer_than_a_sitting() -> None:
    lines = {name_of(source): len(source.read_text().splitlines()) for source in SOURCES}

    beyond = {name: count for name, count in lines.items() if count > LONGER_MODULES.get(name, MODULE_LINES)}
    assert not beyond, "split it"
    assert all(lines.get(name, 0) > MODULE_LINES for name in LONGER_MODULES), "shorter now: shrink the list"


def test_no_function_is_longer_than_a_screen() -> None:
    beyond = [
        f"{key}: {lines}"
        for source in SOURCES
        for name, lines in functions(source)
        if lines > LONGER_FUNCTIONS.get(key := f"{name_of(source)}:{name}", FUNCTION_LINES)
    ]

    assert not beyond, "split it"


def test_imports_are_absolute() -> None:
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            assert not isinstance(node, ast.ImportFrom) or node.level == 0, f"{source}:{node.lineno}"


def test_only_programs_print() -> None:
    printing = {
        name_of(source)
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }

    assert {name for name in printing if not name.startswith("cli/")} <= PRINTING


def test_a_module_says_what_it_holds() -> None:
    texts = {name_of(source): ast.get_docstring(ast.parse(source.read_text())) or "" for source in SOURCES}

    assert not {name for name, text in texts.items() if len(text.split()) < 2}


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if _UNFINISHED.search(line)
    ]

    assert not found


def test_nothing_names_the_machine_it_was_written_on_or_a_package_index() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if _MACHINE.search(line) or any(host in line for host in _HOSTS)
    ]

    assert not found
