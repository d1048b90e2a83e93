r"""The json-file format: one JSON object a line, as Docker writes it.

    {"log":"hello\n","stream":"stdout","time":"2026-01-02T03:04:05.678901234Z"}

`log` ends with a newline unless it is part of a longer line: a line is cut after 16 KiB.
Between `stream` and `time` may stand `attrs`, the labels and variables that were asked for.
Bytes that are not UTF-8 become `\ufffd`, one for each, and what HTML reads is escaped as Go
does.  The file `<path>` is rotated to `<path>.1`, `<path>.2` and so on, the highest the oldest.

The writer takes whole chunks and never loops over lines in Python; the reader finds the last
lines of a large file from its end and follows across rotations.
"""

from wherry.logs.json_file.reader import Entry, JsonFileReader
from wherry.logs.json_file.writer import LINE_LIMIT, JsonFileWriter

__all__ = ["LINE_LIMIT", "Entry", "JsonFileReader", "JsonFileWriter"]
