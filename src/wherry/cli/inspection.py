"""What `inspect` prints: the daemon's JSON, indented, or a template over it.

The document is indented as it came, character by character, so that numbers and escapes stay what
the daemon sent.  Templates see Go's field names, which are the JSON's; members that Go omits when
they are empty are known by name, so that asking for one is no failure.
"""

from __future__ import annotations

from wherry.cli.failures import FAILED, TEMPLATE_FAILED, CommandFailed
from wherry.cli.flags import Flag
from wherry.cli.records import INSPECT_FORMAT_TEXT
from wherry.client.failures import ErrorResponse
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry.cli.session import Session

FORMAT_FLAG = Flag("format", "string", INSPECT_FORMAT_TEXT, short="f")
_MAPS = frozenset(
    (
        "Annotations", "AuxiliaryAddresses", "Containers", "Data", "DriverOpts", "ExposedPorts", "Labels",
        "Networks", "Options", "PortBindings", "Ports", "Status", "StorageOpt", "Sysctls", "Tmpfs", "Volumes",
    )
)  # fmt: skip
# Members that the API leaves out when empty, by the object that has them ("" is the document).
_OMITTED: dict[str, dict[str, object]] = {
    "": {
        "SizeRw": None,
        "SizeRootFs": None,
        "Node": None,
        "Options": None,
        "Status": None,
        "UsageData": None,
    },
    "State": {"Health": None},
    "Config": {
        "ExposedPorts": {},
        "Healthcheck": None,
        "ArgsEscaped": False,
        "NetworkDisabled": False,
        "MacAddress": "",
        "StopSignal": "",
        "StopTimeout": None,
        "Shell": [],
        "Volumes": {},
        "Env": [],
        "Cmd": [],
        "Labels": {},
    },
    "HostConfig": {
        "Annotations": {},
        "Mounts": [],
        "StorageOpt": {},
        "Tmpfs": {},
        "Sysctls": {},
        "Runtime": "",
        "Init": None,
    },
}


def inspect(session: Session, names: Sequence[str], form: str, fetch: Callable[[str], bytes]) -> int:
    """Print the objects `names`, as `form` says, and return the exit code.

    `fetch` gives the JSON document of one object.  Failures follow the output.

    Raises:
        CommandFailed: 64 for a template that does not parse, 1 for one that does not fit.
    """
    show = _shower(form)
    documents: list[str] = []
    failures: list[str] = []
    for name in names:
        try:
            documents.append(show(fetch(name).decode("utf-8", "surrogateescape")))
        except ErrorResponse as error:
            failures.append(str(error))
        except CommandFailed as error:
            failures.append(str(error))
            if error.status == FAILED and str(error).startswith("template"):
                break
    if form in ("", "json"):
        _print_documents(session, documents, form)
    else:
        session.out("".join(document + "\n" for document in documents) or "\n")
    if failures:
        session.err("\n".join(failures) + "\n")
    return FAILED if failures else 0


def _print_documents(session: Session, documents: list[str], form: str) -> None:
    if form == "json":
        session.out(indent("[" + ",".join(documents) + "]", None) + "\n")
    elif documents:
        session.out(indent("[" + ",".join(documents) + "]", "    ") + "\n")
    else:
        session.out("[]\n")


def _shower(form: str) -> Callable[[str], str]:
    """How one document is shown."""
    if form in ("", "json"):
        return str.strip
    from wherry.cli.gotemplate import ExecutionFailed, ParseFailed, Template

    try:
        template = Template(form)
    except ParseFailed as error:
        raise CommandFailed(f"template parsing error: {error}", TEMPLATE_FAILED) from None

    def show(document: str) -> str:
        try:
            return template.render(_complete(json.loads(document)), strict=True)
        except ExecutionFailed as error:
            raise CommandFailed(f"template parsing error: {error}") from None

    return show


class Struct(dict[str, object]):
    """An object that is a struct in Go: it prints its values in their order, without names."""

    def __str__(self) -> str:
        from wherry.cli.gotemplate.printf import text_of

        return "{" + " ".join(text_of(value) for value in self.values()) + "}"


def _with_structs(value: object, name: str = "", owner: str = "") -> object:
    """`value` with its objects as structs, but for those that Go keeps as maps."""
    if isinstance(value, list):
        return [_with_structs(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {key: _with_structs(item, key, name) for key, item in value.items()}
    is_map = name in _MAPS or (owner == "LogConfig" and name == "Config")
    return dict(sorted(members.items())) if is_map else Struct(members)


def _complete(document: object) -> object:
    """`document` with the members Go's structs would have; what the daemon sent comes first."""
    document = _with_structs(document)
    if not isinstance(document, dict):
        return document
    for owner, members in _OMITTED.items():
        target = document if not owner else document.get(owner)
        if isinstance(target, dict) and not (
            owner == "" and "State" not in document and "Driver" not in document
        ):
            for name, value in members.items():
                target.setdefault(name, value)
    return document


def indent(document: str, step: str | None) -> str:
    """JSON with Go's indentation, or on one line without `step`; every token as it was written."""
    newline, colon = ("", ":") if step is None else ("\n", ": ")
    step = step or ""
    out: list[str] = []
    depth, position, size = 0, 0, len(document)
    while position < size:
        c = document[position]
        if c == '"':
            end = position + 1
            while document[end] != '"':
                end += 2 if document[end] == "\\" else 1
            out.append(document[position : end + 1])
            position = end
        elif c in "{[":
            closing = position + 1
            while closing < size and document[closing] in " \t\r\n":
                closing += 1
            if closing < size and document[closing] in "}]":
                out.append(c + document[closing])
                position = closing
            else:
                depth += 1
                out.append(c + newline + step * depth)
        elif c in "}]":
            depth -= 1
            out.append(newline + step * depth + c)
        elif c == ",":
            out.append("," + newline + step * depth)
        elif c == ":":
            out.append(colon)
        elif c not in " \t\r\n":
            out.append(c)
        position += 1
    return "".join(out)
