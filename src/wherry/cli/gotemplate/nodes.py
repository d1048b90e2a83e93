"""The syntax tree of a template.  `str(node)` is what text/template prints in its messages."""

from __future__ import annotations


class Node:
    """A node and the place where it stands."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class Text(Node):
    __slots__ = ("text",)

    def __init__(self, position: int, text: str) -> None:
        super().__init__(position)
        self.text = text


class Constant(Node):
    """A string, number, character or bool; `source` is how it was written."""

    __slots__ = ("source", "value")

    def __init__(self, position: int, value: object, source: str) -> None:
        super().__init__(position)
        self.value = value
        self.source = source

    def __str__(self) -> str:
        return self.source


class Nil(Node):
    __slots__ = ()

    def __str__(self) -> str:
        return "nil"


class Dot(Node):
    __slots__ = ()

    def __str__(self) -> str:
        return "."


class Function(Node):
    __slots__ = ("name",)

    def __init__(self, position: int, name: str) -> None:
        super().__init__(position)
        self.name = name

    def __str__(self) -> str:
        return self.name


class Field(Node):
    """`.A.B`, from the dot."""

    __slots__ = ("names",)

    def __init__(self, position: int, names: list[str]) -> None:
        super().__init__(position)
        self.names = names

    def __str__(self) -> str:
        return "".join("." + name for name in self.names)


class Variable(Node):
    """`$x.A.B`; the name keeps its dollar sign."""

    __slots__ = ("name", "names")

    def __init__(self, position: int, name: str, names: list[str]) -> None:
        super().__init__(position)
        self.name = name
        self.names = names

    def __str__(self) -> str:
        return ".".join([self.name, *self.names])


class Chain(Node):
    """`(pipeline).A.B`."""

    __slots__ = ("names", "node")

    def __init__(self, position: int, node: Node, names: list[str]) -> None:
        super().__init__(position)
        self.node = node
        self.names = names

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipeline) else str(self.node)
        return inner + "".join("." + name for name in self.names)


class Command(Node):
    __slots__ = ("words",)

    def __init__(self, position: int, words: list[Node]) -> None:
        super().__init__(position)
        self.words = words

    def __str__(self) -> str:
        return " ".join(f"({word})" if isinstance(word, Pipeline) else str(word) for word in self.words)


class Pipeline(Node):
    """Commands joined by `|`; `variables` are set to the result, declared unless `assigns`.

    The variables of a range are set item by item, so its pipeline is marked `of_range`.
    """

    __slots__ = ("assigns", "commands", "of_range", "variables")

    def __init__(
        self, position: int, variables: list[str], commands: list[Command], *, assigns: bool, of_range: bool
    ) -> None:
        super().__init__(position)
        self.variables = variables
        self.commands = commands
        self.assigns = assigns
        self.of_range = of_range

    def __str__(self) -> str:
        head = ", ".join(self.variables) + (" = " if self.assigns else " := ") if self.variables else ""
        return head + " | ".join(str(command) for command in self.commands)


class Action(Node):
    __slots__ = ("pipeline",)

    def __init__(self, position: int, pipeline: Pipeline) -> None:
        super().__init__(position)
        self.pipeline = pipeline


class Branch(Node):
    """if, with and range: `kind` says which."""

    __slots__ = ("body", "kind", "otherwise", "pipeline")

    def __init__(
        self, position: int, kind: str, pipeline: Pipeline, body: list[Node], otherwise: list[Node]
    ) -> None:
        super().__init__(position)
        self.kind = kind
        self.pipeline = pipeline
        self.body = body
        self.otherwise = otherwise


class Jump(Node):
    """break or continue."""

    __slots__ = ("kind",)

    def __init__(self, position: int, kind: str) -> None:
        super().__init__(position)
        self.kind = kind


class Call(Node):
    """`{{template "name" pipeline}}`, and what a block leaves behind."""

    __slots__ = ("name", "pipeline")

    def __init__(self, position: int, name: str, pipeline: Pipeline | None) -> None:
        super().__init__(position)
        self.name = name
        self.pipeline = pipeline

    def __str__(self) -> str:
        return f'{{{{template "{self.name}"' + (f" {self.pipeline}" if self.pipeline else "") + "}}"
