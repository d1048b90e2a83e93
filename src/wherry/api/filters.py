"""The `filters` parameter: names with lists of values.

Two forms are on the wire: `{"label": ["a", "b"]}`, and the older `{"label": {"a": true, "b": true}}` that
most clients still send.  Values of one name are alternatives; labels must all match.

Spec: Docker Engine API, "filters"; texts of dockerd's filters package.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from wherry.errors import InvalidArgument

Filters = dict[str, list[str]]

_DECODER = msgspec.json.Decoder(dict[str, dict[str, bool] | list[str]])


def parse(text: str | None) -> Filters:
    """The filters in a query parameter; nothing gives none.

    Raises:
        InvalidArgument: neither of the two forms.
    """
    if not text:
        return {}
    try:
        decoded = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise InvalidArgument("invalid filter") from None
    return {name: list(dict.fromkeys(values)) for name, values in decoded.items()}


def check(filters: Filters, allowed: Collection[str]) -> None:
    """Refuse a name that is not `allowed`.

    Raises:
        InvalidArgument: naming the first such filter.
    """
    for name in filters:
        if name not in allowed:
            raise InvalidArgument(f"invalid filter '{name}'")


def boolean(filters: Filters, name: str, *, default: bool) -> bool:
    """The value of a yes-or-no filter.

    Raises:
        InvalidArgument: anything but one of true, 1, false, 0; or both answers at once.
    """
    values = filters.get(name)
    if not values:
        return default
    answers = {value in ("1", "true") for value in values}
    if len(answers) > 1 or not all(value in ("1", "true", "0", "false") for value in values):
        raise InvalidArgument(f"invalid filter '{name}={go_list(values)}'")
    return answers.pop()


def go_list(values: list[str]) -> str:
    """`values` as Go prints a list of strings: `[a b]`."""
    return "[" + " ".join(values) + "]"
