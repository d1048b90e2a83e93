"""`system events`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import TEMPLATE_FAILED, CommandFailed
from wherry.cli.filters import filters_query
from wherry.cli.flags import Flag, Options
from wherry.cli.records import INSPECT_FORMAT_TEXT
from wherry.cli.session import Session
from wherry.cli.timestamps import SECOND_NS, format_rfc3339, to_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Event = dict[str, Any]

COMMAND = Command(
    "[OPTIONS]",
    (
        Flag("filter", "filter", "Show only what meets the condition", short="f"),
        Flag("format", "string", INSPECT_FORMAT_TEXT),
        Flag("since", "string", "Show all events created since timestamp"),
        Flag("until", "string", "Stream events until this timestamp"),
    ),
    maximum=0,
)


def run(session: Session, options: Options, _arguments: list[str]) -> int:
    """Print events as they happen."""
    show = _shower(options["format"])
    query = []
    for name in ("since", "until"):
        if options[name]:
            try:
                query.append((name, to_query(options[name])))
            except ValueError as error:
                raise CommandFailed(str(error)) from None
    query += filters_query(options["filter"])
    response = session.client.request("GET", "/events", query=query)
    for event in response.body.json_values():
        session.line(show(event))
    return 0


def _shower(form: str) -> Callable[[Event], str]:
    if not form:
        return event_line
    from wherry.cli.gotemplate import ExecutionFailed, ParseFailed, Template

    try:
        template = Template("{{json .}}" if form == "json" else form)
    except ParseFailed as error:
        raise CommandFailed(f"Error parsing format: {error}", TEMPLATE_FAILED) from None

    def show(event: Event) -> str:
        try:
            return template.render(_with_go_names(event))
        except ExecutionFailed as error:
            raise CommandFailed(str(error)) from None

    return show


class _Event(dict[str, "Any"]):
    """An event by its JSON names for `json`, by its Go names for fields."""

    def template_field(self, name: str, *_given: object) -> object:
        from wherry.cli.gotemplate.failures import Failure

        if name in _GO_NAMES:
            return self.get(_GO_NAMES[name], 0 if name.startswith("Time") else "")
        if name in self:
            return self[name]
        raise Failure(f"can't evaluate field {name} in type *events.Message")


_GO_NAMES = {
    "Status": "status",
    "ID": "id",
    "From": "from",
    "Scope": "scope",
    "Time": "time",
    "TimeNano": "timeNano",
}


def _with_go_names(event: Event) -> Event:
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    if attributes:  # as Go prints a map
        event["Actor"] = actor | {"Attributes": {name: attributes[name] for name in sorted(attributes)}}
    return _Event(event)


def event_line(event: Event) -> str:
    """`TIME TYPE ACTION ID (key=value, …)`, attributes sorted."""
    actor = event.get("Actor") or {}
    nanoseconds = event.get("timeNano") or int(event.get("time") or 0) * SECOND_NS
    attributes = actor.get("Attributes") or {}
    listed = ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes))
    words = (format_rfc3339(nanoseconds), event.get("Type"), event.get("Action"), actor.get("ID"))
    line = " ".join(str(word or "") for word in words)
    return f"{line} ({listed})" if listed else line
