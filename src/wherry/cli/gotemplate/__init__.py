"""Go's text/template, as `--format` uses it.

    Template("{{.ID}}: {{json .}}").render(data)

Text goes through unchanged; data are JSON values or records with `template_field(name, *args)`.
Spec: text/template; Docker's additions are in `functions`.
"""

from __future__ import annotations

from wherry.cli.gotemplate.execute import Execution
from wherry.cli.gotemplate.failures import ExecutionFailed, ParseFailed, TemplateFailed
from wherry.cli.gotemplate.functions import FUNCTIONS, HEADER_FUNCTIONS, NAMES
from wherry.cli.gotemplate.parser import parse

__all__ = ["ExecutionFailed", "ParseFailed", "Template", "TemplateFailed"]


class Template:
    """A parsed template.

    Raises:
        ParseFailed: in text/template's words.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._templates = parse(source, NAMES)

    def render(self, data: object, *, strict: bool = False) -> str:
        """The text for `data`; with `strict`, a missing key of a map is a failure.

        Raises:
            ExecutionFailed: the template asks for what the data do not have.
        """
        return Execution(self._source, self._templates, FUNCTIONS, strict=strict).run(data)

    def render_header(self, titles: object) -> str:
        """The head line of a table: `titles` by field name, functions pass them through."""
        return Execution(self._source, self._templates, HEADER_FUNCTIONS, strict=False).run(titles)
