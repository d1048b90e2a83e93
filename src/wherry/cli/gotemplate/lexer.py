"""Tokens of Go's text/template.

Outside actions there is text; between `{{` and `}}` there are words.  `{{- ` and ` -}}` trim the
blanks of the neighbouring text.  Spec: text/template, Text and spaces; go/src/text/template/parse.
"""

from __future__ import annotations

from wherry.cli.gotemplate.failures import ParseFailed

KEYWORDS = frozenset(
    ("block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with")
)
_BLANK = " \t\r\n"
_SINGLE = {"|": "pipe", "(": "(", ")": ")", ",": ","}


class Token:
    """One token: its kind, its text, and where it stands (character offset and line)."""

    __slots__ = ("kind", "line", "position", "text")

    def __init__(self, kind: str, text: str, position: int, line: int) -> None:
        self.kind = kind
        self.text = text
        self.position = position
        self.line = line


def tokens_of(source: str) -> list[Token]:
    """All tokens of a template, ended by one of kind `eof`, or `error` where it cannot be read on.

    An error is a token, and not raised, because what stands before it may be wrong too: the parser
    reports whichever it meets first.
    """
    return _Lexer(source).run()


class _Lexer:
    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._tokens: list[Token] = []
        self._depth = 0

    def run(self) -> list[Token]:
        try:
            while self._text():
                self._action()
            self._emit("eof", self._position, self._position)
        except ParseFailed as failure:
            line = 1 + self._source.count("\n", 0, self._position)
            self._tokens.append(Token("error", str(failure.reason), self._position, line))
        return self._tokens

    def _emit(self, kind: str, start: int, end: int) -> None:
        line = 1 + self._source.count("\n", 0, start)
        self._tokens.append(Token(kind, self._source[start:end], start, line))

    def fail(self, message: str) -> ParseFailed:
        return ParseFailed(message, 1 + self._source.count("\n", 0, self._position))

    def _text(self) -> bool:
        """Take the text up to the next action; False at the end of the template."""
        source, start = self._source, self._position
        opening = source.find("{{", start)
        end = len(source) if opening < 0 else opening
        text_end = end
        if (
            opening >= 0
            and source[opening + 2 : opening + 3] == "-"
            and source[opening + 3 : opening + 4] in tuple(_BLANK)
        ):
            text_end = start + len(source[start:end].rstrip(_BLANK))
        if text_end > start:
            self._emit("text", start, text_end)
        self._position = end
        return opening >= 0

    def _action(self) -> None:
        source = self._source
        self._position += 2
        if source[self._position : self._position + 1] == "-" and source[
            self._position + 1 : self._position + 2
        ] in tuple(_BLANK):
            self._position += 2
        if source.startswith("/*", self._position):
            self._comment()
            return
        self._emit("left", self._position, self._position)
        self._depth = 0
        while not self._right():
            self._word()

    def _comment(self) -> None:
        end = self._source.find("*/", self._position)
        if end < 0:
            raise self.fail("unclosed comment")
        self._position = end + 2
        if not self._close():
            raise self.fail("comment ends before closing delimiter")

    def _close(self) -> bool:
        """Step over `}}` or ` -}}` where it stands, trimming the text behind it."""
        source, position = self._source, self._position
        if source[position : position + 1] in tuple(_BLANK) and source.startswith("-}}", position + 1):
            self._position = position + 4
            while self._position < len(source) and source[self._position] in _BLANK:
                self._position += 1
            return True
        if source.startswith("}}", position):
            self._position = position + 2
            return True
        return False

    def _right(self) -> bool:
        start = self._position
        if not self._close():
            return False
        if self._depth:
            self._position = start
            raise self.fail("unclosed left paren")
        self._tokens.append(Token("right", "}}", start, 1 + self._source.count("\n", 0, start)))
        return True

    def _word(self) -> None:
        source, start = self._source, self._position
        if start >= len(source):
            raise self.fail("unclosed action")
        c = source[start]
        following = source[start + 1 : start + 2]
        if c in _BLANK:
            self._blanks()
        elif c == "=" or (c == ":" and following == "="):
            self._take("=" if c == "=" else ":=", 1 if c == "=" else 2)
        elif c == ":":
            raise self.fail("expected :=")
        elif c == '"':
            self._string()
        elif c == "`":
            self._raw_string()
        elif c == "$":
            self._name("variable", start + 1)
        elif c == "'":
            self._character()
        elif c == "." and not following.isdigit() and following:
            self._field()
        elif c in "+-." or c.isdigit():
            self._number()
        elif c.isalpha() or c == "_":
            self._name("identifier", start)
        elif c in _SINGLE:
            self._parenthesis(c)
        elif " " < c < "\x7f":
            self._take("char", 1)
        else:
            raise self.fail(f"unrecognized character in action: {_character_name(c)}")

    def _take(self, kind: str, length: int) -> None:
        self._emit(kind, self._position, self._position + length)
        self._position += length

    def _blanks(self) -> None:
        source, start = self._source, self._position
        end = start
        while end < len(source) and source[end] in _BLANK:
            if source.startswith("-}}", end + 1):
                break  # the blank belongs to the trimming delimiter
            end += 1
        if end > start:
            self._emit("space", start, end)
        self._position = end

    def _parenthesis(self, c: str) -> None:
        if c == "(":
            self._depth += 1
        elif c == ")":
            self._depth -= 1
            if self._depth < 0:
                raise self.fail("unexpected right paren")
        self._take(_SINGLE[c], 1)

    def _string(self) -> None:
        source, end = self._source, self._position + 1
        while end < len(source) and source[end] not in '"\n':
            end += 2 if source[end] == "\\" else 1
        if end >= len(source) or source[end] == "\n":
            raise self.fail("unterminated quoted string")
        self._take("string", end + 1 - self._position)

    def _raw_string(self) -> None:
        end = self._source.find("`", self._position + 1)
        if end < 0:
            raise self.fail("unterminated raw quoted string")
        self._take("raw", end + 1 - self._position)

    def _character(self) -> None:
        source, end = self._source, self._position + 1
        while end < len(source) and source[end] not in "'\n":
            end += 2 if source[end] == "\\" else 1
        if end >= len(source) or source[end] == "\n":
            raise self.fail("unterminated character constant")
        self._take("character", end + 1 - self._position)

    def _field(self) -> None:
        following = self._source[self._position + 1 : self._position + 2]
        if following.isalnum() or following == "_":
            self._name("field", self._position + 1)
        else:
            self._take("dot", 1)
            self._require_end()

    def _name(self, kind: str, start: int) -> None:
        source, end = self._source, start
        while end < len(source) and (source[end].isalnum() or source[end] == "_"):
            end += 1
        word = source[self._position : end]
        if kind == "identifier":
            if word in KEYWORDS:
                kind = "keyword"
            elif word in ("true", "false"):
                kind = "bool"
        self._take(kind, end - self._position)
        self._require_end()

    def _number(self) -> None:
        source, end = self._source, self._position
        if source[end] in "+-":
            end += 1
        while end < len(source) and (
            source[end].isalnum()
            or source[end] in "._"
            or (source[end] in "+-" and source[end - 1] in "eEpP")
        ):
            end += 1
        word = source[self._position : end]
        self._emit("number", self._position, end)
        self._position = end
        if not any(c.isdigit() for c in word) and word != ".":
            raise self.fail(f'bad number syntax: "{word}"')

    def _require_end(self) -> None:
        """A word must be followed by something that ends it."""
        c = self._source[self._position : self._position + 1]
        if c and c not in _BLANK and c not in ".,|:=()" and not self._source.startswith("}}", self._position):
            raise self.fail(f"bad character {_character_name(c)}")


def _character_name(c: str) -> str:
    return f"U+{ord(c):04X} '{c}'"
