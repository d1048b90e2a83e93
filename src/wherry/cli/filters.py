"""`--filter` values as the API's `filters` parameter."""

from __future__ import annotations

from wherry.files import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def filters_query(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The query parameter for `pairs`; nothing without any."""
    values: dict[str, dict[str, bool]] = {}
    for name, value in pairs:
        values.setdefault(name, {})[value] = True
    return [("filters", json.dumps(values))] if values else []
