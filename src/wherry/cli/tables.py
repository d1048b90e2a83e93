"""Aligned columns, as Go's text/tabwriter aligns them: minimum width 10, padding 3, blanks.

A cell ends with a tab; what follows the last tab of a line belongs to no column.  A column is a
run of consecutive lines that all have it, so a line with fewer cells ends the columns behind it.
"""

from __future__ import annotations

MINIMUM_WIDTH = 10
PADDING = 3


def align(text: str, *, minimum: int = MINIMUM_WIDTH, padding: int = PADDING) -> str:
    """`text` with its tabs turned into blanks."""
    ended = text.endswith("\n")
    lines = [line.split("\t") for line in (text[:-1] if ended else text).split("\n")]
    widths: list[list[int]] = [[] for _ in lines]
    _measure(lines, widths, 0, len(lines), 0, minimum, padding)
    shown = []
    for cells, columns in zip(lines, widths, strict=True):
        padded = [
            cell + " " * (width - display_width(cell)) for cell, width in zip(cells, columns, strict=False)
        ]
        shown.append("".join(padded) + cells[-1])
    return "\n".join(shown) + ("\n" if ended else "")


def _measure(
    lines: list[list[str]],
    widths: list[list[int]],
    first: int,
    last: int,
    column: int,
    minimum: int,
    padding: int,
) -> None:
    """Set the width of `column` for each run of lines in [first, last) that have it, then go right."""
    row = first
    while row < last:
        if column >= len(lines[row]) - 1:
            row += 1
            continue
        end = row
        while end < last and column < len(lines[end]) - 1:
            end += 1
        width = max(minimum, *(display_width(lines[i][column]) + padding for i in range(row, end)))
        for i in range(row, end):
            widths[i].append(width)
        _measure(lines, widths, row, end, column + 1, minimum, padding)
        row = end


def display_width(text: str) -> int:
    """Columns of a terminal that `text` takes: wide East Asian characters take two."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text if c != "\u200d")


def ellipsis(text: str, limit: int) -> str:
    """`text` cut to `limit` columns, the last of them `…`."""
    if limit <= 0 or display_width(text) <= limit:
        return text
    if limit == 1:
        return text[:1]
    taken, width = 0, 0
    for character in text:
        width += display_width(character)
        if width > limit - 1:
            break
        taken += 1
    return text[:taken] + "…"


def truncate_id(name: str) -> str:
    """The 12 characters of a digest or an id that are shown: those behind the algorithm."""
    head, colon, rest = name.partition(":")
    return (rest if colon else head)[:12]
