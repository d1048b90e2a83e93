"""One record of comma-separated values, as Go's encoding/csv reads it."""

from __future__ import annotations


def read_record(text: str) -> list[str]:
    """The fields of one line.

    Raises:
        ValueError: a quote in the wrong place, in encoding/csv's words.
    """
    fields: list[str] = []
    position = 0
    while True:
        if text[position : position + 1] == '"':
            field, position = _quoted_field(text, position + 1)
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            field = text[position:end]
            if '"' in field:
                column = position + field.index('"') + 1
                raise ValueError(f'parse error on line 1, column {column}: bare " in non-quoted-field')
            position = end
        fields.append(field)
        if position >= len(text):
            return fields
        position += 1  # the comma


def _quoted_field(text: str, position: int) -> tuple[str, int]:
    parts = []
    while True:
        end = text.find('"', position)
        if end < 0:
            raise ValueError(
                f'parse error on line 1, column {len(text) + 1}: extraneous or missing " in quoted-field'
            )
        parts.append(text[position:end])
        following = text[end + 1 : end + 2]
        if following == '"':
            parts.append('"')
            position = end + 2
        elif following in ("", ","):
            return "".join(parts), end + 1
        else:
            raise ValueError(
                f'parse error on line 1, column {end + 2}: extraneous or missing " in quoted-field'
            )
