"""What is wrong with a template, with text/template's words."""

from __future__ import annotations

from wherry.errors import InvalidArgument


class TemplateFailed(InvalidArgument):
    """A template that does not parse or cannot be carried out."""


class ParseFailed(TemplateFailed):
    """The template is not well formed."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"template: :{line}: {message}")
        self.reason = message


class ExecutionFailed(TemplateFailed):
    """The template asks for what the data do not have."""


class Failure(Exception):
    """A failure inside a function or a field, before its place in the template is known."""
