"""Carrying out a template on data.

Data are JSON values and `Record`s, objects with named fields as Go's structs have.  A missing key
of a map prints `<no value>`, or fails when `strict`; a missing field of a record fails.
"""

from __future__ import annotations

from wherry.cli.gotemplate import nodes
from wherry.cli.gotemplate.failures import ExecutionFailed, Failure
from wherry.cli.gotemplate.functions import is_true
from wherry.cli.gotemplate.printf import text_of, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEPTH_LIMIT = 1000


class _NoValue:
    """The result of looking up what is not there."""

    type_name = "<nil>"

    def __str__(self) -> str:
        return "<no value>"


NO_VALUE = _NoValue()


class _Jump(Exception):
    def __init__(self, kind: str) -> None:
        self.kind = kind


class Execution:
    """One run of a set of templates."""

    def __init__(
        self,
        source: str,
        templates: dict[str, list[nodes.Node]],
        functions: dict[str, Callable[..., object]],
        *,
        strict: bool,
    ) -> None:
        self._source = source
        self._templates = templates
        self._functions = functions
        self._strict = strict
        self._variables: list[tuple[str, object]] = []
        self._out: list[str] = []
        self._name = ""
        self._depth = 0

    def run(self, data: object) -> str:
        """The text of the main template.

        Raises:
            ExecutionFailed: in text/template's words.
        """
        self._variables = [("$", data)]
        self._walk(data, self._templates[""])
        return "".join(self._out)

    def _fail(self, node: nodes.Node, message: str) -> ExecutionFailed:
        before = self._source[: node.position]
        line = before.count("\n") + 1
        column = len(before.rpartition("\n")[2].encode("utf-8", "surrogateescape"))
        context = str(node)
        if len(context) > 20:
            context = context[:20] + "..."
        place = f"{self._name}:{line}:{column}"
        return ExecutionFailed(f'template: {place}: executing "{self._name}" at <{context}>: {message}')

    # Statements

    def _walk(self, dot: object, body: list[nodes.Node]) -> None:
        for node in body:
            if isinstance(node, nodes.Text):
                self._out.append(node.text)
            elif isinstance(node, nodes.Action):
                value = self._pipeline(dot, node.pipeline)
                if not node.pipeline.variables:
                    self._out.append(_printed(value))
            elif isinstance(node, nodes.Branch):
                size = len(self._variables)
                if node.kind == "range":
                    self._range(dot, node)
                else:
                    self._if_or_with(dot, node)
                del self._variables[size:]
            elif isinstance(node, nodes.Call):
                self._call(dot, node)
            elif isinstance(node, nodes.Jump):
                raise _Jump(node.kind)

    def _if_or_with(self, dot: object, node: nodes.Branch) -> None:
        value = self._pipeline(dot, node.pipeline)
        truth = value is not NO_VALUE and is_true(value)
        inner = value if truth and node.kind == "with" else dot
        self._walk(inner, node.body if truth else node.otherwise)

    def _range(self, dot: object, node: nodes.Branch) -> None:
        value = self._pipeline(dot, node.pipeline)
        size = len(self._variables)
        any_item = False
        for key, item in self._items(node, value):
            any_item = True
            names = node.pipeline.variables
            if names and node.pipeline.assigns:
                self._assign(names[-1], item)
                if len(names) > 1:
                    self._assign(names[0], key)
            elif names:
                self._variables += (
                    [(names[0], key), (names[1], item)] if len(names) > 1 else [(names[0], item)]
                )
            try:
                self._walk(item, node.body)
            except _Jump as jump:
                if jump.kind == "break":
                    break
            finally:
                del self._variables[size:]
        if not any_item:
            self._walk(dot, node.otherwise)

    def _items(self, node: nodes.Branch, value: object) -> Iterable[tuple[object, object]]:
        if isinstance(value, dict):
            return [(key, value[key]) for key in sorted(value)]
        if isinstance(value, (list, tuple)):
            return enumerate(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return ((number, number) for number in range(value))
        if value is None or value is NO_VALUE:
            return ()
        raise self._fail(node.pipeline, f"range can't iterate over {text_of(value)}")

    def _call(self, dot: object, node: nodes.Call) -> None:
        body = self._templates.get(node.name)
        if body is None:
            raise self._fail(node, f'template "{node.name}" not defined')
        if self._depth >= DEPTH_LIMIT // 10:
            raise self._fail(node, "exceeded maximum template depth (100)")
        data = self._pipeline(dot, node.pipeline) if node.pipeline else None
        outer, self._variables = self._variables, [("$", data)]
        name, self._name = self._name, node.name
        self._depth += 1
        try:
            self._walk(data, body)
        finally:
            self._depth -= 1
            self._variables, self._name = outer, name

    # Pipelines

    def _pipeline(self, dot: object, pipeline: nodes.Pipeline) -> object:
        final: tuple[object, ...] = ()
        for command in pipeline.commands:
            value = self._command(dot, command, final)
            final = (value,)
        if pipeline.variables and not pipeline.of_range:
            for name in pipeline.variables:
                if pipeline.assigns:
                    self._assign(name, final[0])
                else:
                    self._variables.append((name, final[0]))
        return final[0]

    def _assign(self, name: str, value: object) -> None:
        for place in range(len(self._variables) - 1, -1, -1):
            if self._variables[place][0] == name:
                self._variables[place] = (name, value)
                return

    def _command(self, dot: object, command: nodes.Command, final: tuple[object, ...]) -> object:
        first, arguments = command.words[0], command.words[1:]
        if isinstance(first, nodes.Function):
            return self._function(dot, first, arguments, final, command)
        if isinstance(first, (nodes.Field, nodes.Variable, nodes.Chain)):
            return self._value(dot, first, arguments, final)
        if arguments or final:
            raise self._fail(first, f"can't give argument to non-function {first}")
        if isinstance(first, nodes.Nil):
            raise self._fail(first, "nil is not a command")
        return self._value(dot, first, [], ())

    def _function(
        self,
        dot: object,
        node: nodes.Function,
        words: list[nodes.Node],
        final: tuple[object, ...],
        whole: nodes.Node,
    ) -> object:
        if node.name in ("and", "or"):
            return self._short_circuit(dot, node, words, final)
        arguments = [_plain(self._value(dot, word, [], ())) for word in words] + [_plain(v) for v in final]
        function = self._functions[node.name]
        expected = _arity(function)
        if not expected[0] <= len(arguments) <= expected[1]:
            least = f"at least {expected[0]}" if expected[1] > 99 else f"{expected[0]}"
            raise self._fail(node, f"wrong number of args for {node.name}: want {least} got {len(arguments)}")
        try:
            return function(*arguments)
        except Failure as error:
            raise self._fail(whole, f"error calling {node.name}: {error}") from None

    def _short_circuit(
        self, dot: object, node: nodes.Function, words: list[nodes.Node], final: tuple[object, ...]
    ) -> object:
        if not words and not final:
            raise self._fail(node, f"wrong number of args for {node.name}: want at least 1 got 0")
        value: object = None
        for word in words:
            value = _plain(self._value(dot, word, [], ()))
            if is_true(value) == (node.name == "or"):
                return value
        return _plain(final[0]) if final else value

    # Operands

    def _value(
        self, dot: object, node: nodes.Node, arguments: list[nodes.Node], final: tuple[object, ...]
    ) -> object:
        if isinstance(node, nodes.Field):
            return self._fields(dot, node, dot, node.names, arguments, final)
        if isinstance(node, nodes.Variable):
            value = next(item for name, item in reversed(self._variables) if name == node.name)
            if node.names:
                return self._fields(dot, node, value, node.names, arguments, final)
            if arguments or final:
                raise self._fail(node, f"can't give argument to non-function {node}")
            return value
        if isinstance(node, nodes.Chain):
            if isinstance(node.node, nodes.Nil):
                raise self._fail(node, f"indirection through explicit nil in {node}")
            value = self._value(dot, node.node, [], ())
            return self._fields(dot, node, value, node.names, arguments, final)
        if isinstance(node, nodes.Pipeline):
            return self._pipeline(dot, node)
        if isinstance(node, nodes.Function):
            return self._function(dot, node, [], (), node)
        if isinstance(node, nodes.Constant):
            return node.value
        return dot if isinstance(node, nodes.Dot) else None

    def _fields(
        self,
        dot: object,
        node: nodes.Node,
        value: object,
        names: list[str],
        arguments: list[nodes.Node],
        final: tuple[object, ...],
    ) -> object:
        for name in names[:-1]:
            value = self._field(node, value, name, ())
        given = tuple(_plain(self._value(dot, word, [], ())) for word in arguments) + final
        return self._field(node, value, names[-1], given)

    def _field(self, node: nodes.Node, value: object, name: str, given: tuple[object, ...]) -> object:
        lookup = getattr(value, "template_field", None)
        if lookup is not None:
            try:
                return lookup(name, *given)
            except Failure as error:
                raise self._fail(node, str(error)) from None
        if isinstance(value, dict):
            if given:
                raise self._fail(node, f"{name} is not a method but has arguments")
            if name in value:
                return value[name]
            if self._strict:
                raise self._fail(node, f'map has no entry for key "{name}"')
            return NO_VALUE
        if value is None:
            raise self._fail(node, f"nil pointer evaluating interface {{}}.{name}")
        if value is NO_VALUE:
            raise self._fail(node, f"nil pointer evaluating interface {{}}.{name}")
        raise self._fail(node, f"can't evaluate field {name} in type {type_name(value)}")


def _plain(value: object) -> object:
    return None if value is NO_VALUE else value


def _printed(value: object) -> str:
    return "<no value>" if value is NO_VALUE else text_of(value)


def _arity(function: Callable[..., object]) -> tuple[int, int]:
    """The least and the greatest count of arguments."""
    code = function.__code__
    defaults = len(function.__defaults__ or ())
    most = 1000 if code.co_flags & 4 else code.co_argcount
    return code.co_argcount - defaults, most
