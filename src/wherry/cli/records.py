"""Rows of lists, and how `--format` shows them.

A `Record` names its fields as Docker's templates do, each with the title of its column.  Without
a format, or with `table`, the default columns are printed without any template: that is what
`wherry ps` does all day, and the template engine is not even loaded for it.
"""

from __future__ import annotations

from wherry.cli.failures import CommandFailed
from wherry.cli.tables import align
from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from wherry.cli.session import Session

    Fields = dict[str, tuple[str, Callable[[Any], object]]]

FORMAT_TEXT = (
    "Format output using a custom template:\n"
    "'table':            Print output in table format with column headers (default)\n"
    "'table TEMPLATE':   Print output in table format using the given Go template\n"
    "'json':             Print in JSON format\n"
    "'TEMPLATE':         Print output using the given Go template.\n"
    "Refer to https://docs.docker.com/go/formatting/ for more information about formatting output "
    "with templates"
)
INSPECT_FORMAT_TEXT = (
    "Format output using a custom template:\n"
    "'json':             Print in JSON format\n"
    "'TEMPLATE':         Print output using the given Go template.\n"
    "Refer to https://docs.docker.com/go/formatting/ for more information about formatting output "
    "with templates"
)


class Record:
    """One row.  `FIELDS`: name -> (title, function of the record); `METHODS` take arguments."""

    __slots__ = ()
    type_name = "formatter.Context"
    FIELDS: Fields = {}
    METHODS: dict[str, Callable[..., object]] = {}

    def template_field(self, name: str, *given: object) -> object:
        """The value of a field, for templates.

        Raises:
            Failure: no such field.
        """
        from wherry.cli.gotemplate.failures import Failure

        if name in self.FIELDS and not given:
            return self.FIELDS[name][1](self)
        if name in self.METHODS:
            try:
                return self.METHODS[name](self, *given)
            except TypeError:
                raise Failure(f"wrong number of args for {name}: want 1 got {len(given)}") from None
        if name in self.FIELDS:
            raise Failure(f"wrong number of args for {name}: want 0 got {len(given)}")
        raise Failure(f"can't evaluate field {name} in type {self.type_name}")

    def as_json(self) -> str:
        """All fields, sorted by name, with Go's escapes of what HTML would take for markup."""
        text = json.dumps({name: self.FIELDS[name][1](self) for name in sorted(self.FIELDS)})
        return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


class _Titles:
    """The titles of a record's columns, for the head line of a table template."""

    type_name = "formatter.SubHeaderContext"

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def template_field(self, name: str, *given: object) -> object:
        if name == "Label" and given:
            return str(given[0]).rpartition(".")[2].replace("-", " ").replace("_", " ")
        if name in self._fields:
            return self._fields[name][0]
        from wherry.cli.gotemplate.execute import NO_VALUE

        return NO_VALUE

    def __str__(self) -> str:
        return ""


def print_records(
    session: Session,
    kind: type[Record],
    records: Iterable[Record],
    form: str,
    columns: Sequence[str],
    *,
    fields: Fields | None = None,
    blame: tuple[str, str] = ("template parsing error", "template parsing error"),
) -> None:
    """Print `records` in the format `form`; `columns` are those of the plain table.

    `blame` begins the message about a template that does not parse, and one that does not fit.

    Raises:
        CommandFailed: the template is wrong.
    """
    fields = kind.FIELDS if fields is None else fields
    if form in ("", "table"):
        lines = ["\t".join(fields[name][0] for name in columns)]
        lines += ["\t".join(str(fields[name][1](record)) for name in columns) for record in records]
        session.out(align("\n".join(lines) + "\n"))
        return
    template = (form.removeprefix("table") if is_table(form) else form).strip(" ")
    if template == "json":
        template = "{{json .}}"
    text = _render(
        template.replace(r"\t", "\t").replace(r"\n", "\n"), records, fields, table=is_table(form), blame=blame
    )
    if text:
        session.out(align(text) if is_table(form) else text)


def is_table(form: str) -> bool:
    """Whether a format asks for columns with a head line."""
    return form.startswith("table")


def _render(
    source: str, records: Iterable[Record], fields: Fields, *, table: bool, blame: tuple[str, str]
) -> str:
    from wherry.cli.gotemplate import ExecutionFailed, ParseFailed, Template

    try:
        template = Template(source)
    except ParseFailed as error:
        raise CommandFailed(f"{blame[0]}: {error}") from None
    try:
        lines = [template.render(record) + "\n" for record in records]
        if table:
            lines.insert(0, template.render_header(_Titles(fields)) + "\n")
    except ExecutionFailed as error:
        raise CommandFailed(f"{blame[1]}: {error}") from None
    return "".join(lines)
