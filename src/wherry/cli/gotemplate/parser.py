"""From tokens to the syntax tree, with text/template's rules and messages.

Variables are checked here: each block opens a scope, and a name must be declared before it is
used.  Functions are checked against the names the caller offers.
"""

from __future__ import annotations

from wherry.cli.gotemplate import literals, nodes
from wherry.cli.gotemplate.failures import ParseFailed
from wherry.cli.gotemplate.lexer import Token, tokens_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

_OPERANDS = ("string", "raw", "number", "character", "bool", "dot", "field", "variable", "identifier", "(")
DEPTH_LIMIT = 1000


def parse(source: str, functions: Container[str]) -> dict[str, list[nodes.Node]]:
    """The templates of `source` by name; the main one has the empty name.

    Raises:
        ParseFailed: in text/template's words.
    """
    return _Parser(source, functions).run()


class _Parser:
    def __init__(self, source: str, functions: Container[str]) -> None:
        self._tokens = tokens_of(source)
        self._next = 0
        self._functions = functions
        self._scope = ["$"]
        self._ranges = 0
        self._depth = 0
        self._templates: dict[str, list[nodes.Node]] = {}

    def run(self) -> dict[str, list[nodes.Node]]:
        body, end = self._list(top=True)
        if end != "eof":
            raise self._fail(f"unexpected {{{{{end}}}}}")
        self._templates[""] = body
        return self._templates

    # Tokens

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind == "error":
            raise ParseFailed(token.text, token.line)
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _skip_space(self) -> Token:
        while self._peek().kind == "space":
            self._take()
        return self._peek()

    def _fail(self, message: str) -> ParseFailed:
        return ParseFailed(message, self._tokens[max(self._next - 1, 0)].line)

    def _unexpected(self, token: Token, context: str) -> ParseFailed:
        if token.kind == "error":
            return ParseFailed(token.text, token.line)
        return self._fail(f"unexpected {_shown(token)} in {context}")

    # Lists of nodes

    def _list(self, *, top: bool = False) -> tuple[list[nodes.Node], str]:
        """Nodes up to an {{end}}, an {{else}} or the end of the template, and which it was."""
        body: list[nodes.Node] = []
        while True:
            token = self._take()
            if token.kind == "eof":
                if not top:
                    raise self._fail("unexpected EOF")
                return body, "eof"
            if token.kind == "text":
                body.append(nodes.Text(token.position, token.text))
                continue
            word = self._skip_space()
            if word.kind == "keyword" and word.text in ("end", "else"):
                self._take()
                return body, word.text
            node = self._action(word, top=top)
            if node is not None:
                body.append(node)

    def _block(self) -> tuple[list[nodes.Node], str]:
        """A nested list in a scope of its own."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._fail("template is nested too deeply")
        size = len(self._scope)
        body, end = self._list()
        del self._scope[size:]
        self._depth -= 1
        return body, end

    def _close(self, context: str) -> None:
        token = self._skip_space()
        self._take()
        if token.kind != "right":
            raise self._unexpected(token, context)

    # Actions

    def _action(self, word: Token, *, top: bool) -> nodes.Node | None:
        if word.kind != "keyword" or word.text == "nil":
            return nodes.Action(word.position, self._pipeline("command", "right"))
        self._take()
        kind = word.text
        if kind in ("if", "with", "range"):
            return self._branch(word.position, kind)
        if kind in ("break", "continue"):
            self._close(f"{{{{{kind}}}}}")
            if not self._ranges:
                raise self._fail(f"{{{{{kind}}}}} outside {{{{range}}}}")
            return nodes.Jump(word.position, kind)
        if kind == "define":
            if not top:
                raise self._unexpected(word, "command")
            self._define()
            return None
        if kind == "template":
            return self._call()
        return self._inline_block()

    def _branch(self, position: int, kind: str) -> nodes.Branch:
        size = len(self._scope)
        pipeline = self._pipeline(kind, "right")
        self._ranges += kind == "range"
        body, end = self._block()
        self._ranges -= kind == "range"
        otherwise: list[nodes.Node] = []
        if end == "else":
            word = self._skip_space()
            chained = word.kind == "keyword" and word.text == kind and kind in ("if", "with")
            if chained:
                self._take()
                otherwise = [self._branch(word.position, kind)]  # takes the common {{end}}
            else:
                self._close("else")
                otherwise, end = self._block()
                if end != "end":
                    raise self._fail(f"expected end; found {{{{{end}}}}}")
                self._close("end")
        else:
            self._close("end")
        del self._scope[size:]
        return nodes.Branch(position, kind, pipeline, body, otherwise)

    def _name_of_template(self, context: str) -> tuple[str, int]:
        """The quoted name and where it stands."""
        token = self._skip_space()
        self._take()
        if token.kind not in ("string", "raw"):
            raise self._unexpected(token, context)
        return str(self._constant(token).value), token.position

    def _definition(self) -> list[nodes.Node]:
        """The body of a define or block, which sees no variable but `$`."""
        outer, self._scope = self._scope, ["$"]
        ranges, self._ranges = self._ranges, 0
        body, end = self._block()
        if end != "end":
            raise self._fail("unexpected {{else}} in define clause")
        self._close("end")
        self._scope, self._ranges = outer, ranges
        return body

    def _define(self) -> None:
        name, _ = self._name_of_template("define clause")
        self._close("define clause")
        self._templates[name] = self._definition()

    def _call(self) -> nodes.Call:
        name, position = self._name_of_template("template clause")
        pipeline = None
        if self._skip_space().kind != "right":
            pipeline = self._pipeline("template clause", "right")
        else:
            self._take()
        return nodes.Call(position, name, pipeline)

    def _inline_block(self) -> nodes.Call:
        name, position = self._name_of_template("block clause")
        pipeline = self._pipeline("block clause", "right")
        self._templates[name] = self._definition()
        return nodes.Call(position, name, pipeline)

    # Pipelines

    def _pipeline(self, context: str, end: str) -> nodes.Pipeline:
        position = self._skip_space().position
        variables, assigns = self._declarations(context)
        commands: list[nodes.Command] = []
        while True:
            token = self._skip_space()
            if token.kind == end:
                self._take()
                self._check(commands, context)
                return nodes.Pipeline(
                    position, variables, commands, assigns=assigns, of_range=context == "range"
                )
            if token.kind not in _OPERANDS and not (token.kind == "keyword" and token.text == "nil"):
                self._take()
                raise self._unexpected(token, context)
            commands.append(self._command())

    def _check(self, commands: list[nodes.Command], context: str) -> None:
        if not commands:
            raise self._fail(f"missing value for {context}")
        for number, command in enumerate(commands[1:], 2):
            if isinstance(command.words[0], (nodes.Constant, nodes.Dot, nodes.Nil)):
                raise self._fail(f"non executable command in pipeline stage {number}")

    def _declarations(self, context: str) -> tuple[list[str], bool]:
        """The variables in front of `:=` or `=`."""
        start = self._next
        names: list[str] = []
        while self._skip_space().kind == "variable":
            names.append(self._take().text)
            token = self._skip_space()
            if token.kind in ("=", ":="):
                self._take()
                if token.kind == ":=":
                    self._scope += names
                else:
                    for name in names:
                        self._require_variable(name)
                return names, token.kind == "="
            if token.kind == "," and context == "range" and len(names) == 1:
                self._take()
                continue
            if token.kind == ",":
                raise self._fail(f"too many declarations in {context}")
            break
        self._next = start
        return [], False

    def _command(self) -> nodes.Command:
        position = self._peek().position
        words: list[nodes.Node] = []
        while True:
            self._skip_space()
            word = self._operand()
            if word is not None:
                words.append(word)
            token = self._take()
            if token.kind == "space":
                continue
            if token.kind in ("right", ")"):
                self._next -= 1
            elif token.kind != "pipe":
                raise self._unexpected(token, "operand")
            elif self._skip_space().kind in ("right", ")"):
                raise self._fail("missing value for command")
            break
        if not words:
            raise self._fail("empty command")
        return nodes.Command(position, words)

    def _operand(self) -> nodes.Node | None:
        node = self._term()
        if node is None or self._peek().kind != "field":
            return node
        position, names = self._peek().position, self._fields()
        if isinstance(node, nodes.Field):
            return nodes.Field(position, node.names + names)
        if isinstance(node, nodes.Variable):
            return nodes.Variable(position, node.name, node.names + names)
        if isinstance(node, (nodes.Constant, nodes.Nil, nodes.Dot)):
            raise self._fail(f"unexpected . after term {quoted(str(node))}")
        return nodes.Chain(position, node, names)

    def _fields(self) -> list[str]:
        names = []
        while self._peek().kind == "field":
            names.append(self._take().text[1:])
        return names

    def _term(self) -> nodes.Node | None:
        token = self._take()
        kind, position = token.kind, token.position
        if kind == "dot":
            return nodes.Dot(position)
        if kind == "field":
            return nodes.Field(position, [token.text[1:]])
        if kind == "variable":
            self._require_variable(token.text)
            return nodes.Variable(position, token.text, [])
        if kind == "identifier":
            if token.text not in self._functions:
                raise self._fail(f'function "{token.text}" not defined')
            return nodes.Function(position, token.text)
        if kind == "keyword" and token.text == "nil":
            return nodes.Nil(position)
        if kind == "(":
            self._depth += 1
            if self._depth > DEPTH_LIMIT:
                raise self._fail("template is nested too deeply")
            pipeline = self._pipeline("parenthesized pipeline", ")")
            self._depth -= 1
            return pipeline
        if kind in ("string", "raw", "number", "character", "bool"):
            return self._constant(token)
        self._next -= 1
        return None

    def _constant(self, token: Token) -> nodes.Constant:
        try:
            value = literals.value_of(token.kind, token.text)
        except ValueError as error:
            raise self._fail(str(error)) from None
        return nodes.Constant(token.position, value, token.text)

    def _require_variable(self, name: str) -> None:
        if name not in self._scope:
            raise self._fail(f'undefined variable "{name}"')


def _shown(token: Token) -> str:
    if token.kind == "eof":
        return "EOF"
    if token.kind == "keyword":
        return f"<{token.text}>"
    if len(token.text) > 10:
        return quoted(token.text[:10]) + "..."
    return quoted(token.text)


def quoted(text: str) -> str:
    """`text` as Go's %q."""
    from wherry.cli.gotemplate.printf import quote

    return quote(text)
