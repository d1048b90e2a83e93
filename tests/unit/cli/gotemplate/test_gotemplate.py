"""Go templates: each construct, and the messages for what is wrong.

What is expected here was first seen from Docker's own CLI (tests/conformance/cli compares live).
"""

# ruff: noqa: E501 — tables, one row a line

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli.gotemplate import ExecutionFailed, ParseFailed, Template, TemplateFailed
from wherry.cli.gotemplate.failures import Failure
from wherry.cli.gotemplate.literals import unquote
from wherry.cli.gotemplate.printf import quote, sprintf

DATA = {
    "Name": "web",
    "Count": 3,
    "Ratio": 1.5,
    "On": True,
    "Nothing": None,
    "Env": ["A=b", "C=d"],
    "Empty": [],
    "Labels": {"b": "2", "a": "1"},
    "Deep": {"Er": {"Value": "found"}},
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain {text} }} here", "plain {text} }} here"),
        ("{{.Name}}", "web"),
        ("{{.Deep.Er.Value}}", "found"),
        ("{{.Count}} {{.Ratio}} {{.On}} {{.Nothing}}", "3 1.5 true <nil>"),
        ("{{.Env}} {{.Labels}} {{.Empty}}", "[A=b C=d] map[a:1 b:2] []"),
        ("{{.Missing}}", "<no value>"),
        ("{{.}}"[:3] + "Name | printf \"%q\"}}", '"web"'),
        ("a  {{- .Name -}}  b", "awebb"),
        ("a {{/* a comment */}} b", "a  b"),
        ("a {{- /* trimmed */ -}} b", "ab"),
        ("{{if .On}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Nothing}}yes{{else if .Count}}maybe{{else}}no{{end}}", "maybe"),
        ("{{if .Empty}}yes{{end}}", ""),
        ("{{with .Deep.Er}}{{.Value}}{{end}}", "found"),
        ("{{with .Nothing}}x{{else}}none{{end}}", "none"),
        ("{{with $x := .Name}}{{$x}}{{end}}", "web"),
        ("{{range .Env}}<{{.}}>{{end}}", "<A=b><C=d>"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $e := .Env}}{{$i}}={{$e}};{{end}}", "0=A=b;1=C=d;"),
        ("{{range $k, $v := .Labels}}{{$k}}{{$v}}{{end}}", "a1b2"),
        ("{{range .Env}}{{if eq . \"A=b\"}}{{continue}}{{end}}{{.}}{{end}}", "C=d"),
        ("{{range .Env}}{{.}}{{break}}{{end}}", "A=b"),
        ("{{range .Env}}{{$.Name}}{{end}}", "webweb"),
        ("{{$x := 1}}{{range .Env}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if .On}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ('{{define "t"}}[{{.}}]{{end}}{{template "t" .Name}}{{template "t"}}', "[web][<nil>]"[:5] + "[<nil>]"),
        ('{{block "b" .Name}}<{{.}}>{{end}}', "<web>"),
        ("{{(index .Env 0) | len}} {{len .Env}} {{(.Deep.Er).Value}}", "3 2 found"),
        ("{{index .Labels \"a\"}} {{index .Env 1}}", "1 C=d"),
        ("{{slice .Name 1}} {{slice .Name 1 2}} {{slice .Env 1}}", "eb e [C=d]"),
        ("{{and .On .Name}} {{and .Nothing .Name}} {{or .Nothing .Name}} {{not .On}}", "web <nil> web false"),
        ("{{and .Nothing .Deep.No.Such}}", "<nil>"),
        ("{{eq .Count 1 2 3}} {{ne .Name \"x\"}} {{lt 1 2}} {{le 2 2}} {{gt 1.5 1.0}} {{ge \"b\" \"a\"}}", "true true true true true true"),
        ("{{upper .Name}} {{lower \"ÀB\"}} {{title \"a-b c_d\"}}", "WEB àb A-B C_d"),
        ("{{join .Env \",\"}} {{split \"a,b\" \",\"}} {{pad .Name 1 2}}| {{truncate .Name 2}}", "A=b,C=d [a b]  web  | we"),
        ("{{json .Labels}} {{json .Name}} {{json \"<>&\"}}", '{"b":"2","a":"1"} "web" "<>&"'),
        ("{{print 1 2 \"a\" 3}} {{println \"x\" 1}}", "1 2a3 x 1\n"),
        ("{{html \"<a&\\\"\"}} {{js \"it's\"}} {{urlquery \"a b&c\"}}", "&lt;a&amp;&#34; it\\'s a+b%26c"),
        ("{{1e3}} {{0x1F}} {{1_000}} {{'a'}} {{`raw\\n`}} {{\"\\u00e9\\t\"}}", "1000 31 1000 97 raw\\n é\t"),
        ("{{range 3}}{{.}}{{end}}", "012"),
    ],
)  # fmt: skip
def test_templates_are_carried_out_as_go_does(source: str, text: str) -> None:
    assert Template(source).render(DATA) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{", "template: :1: unclosed action"),
        ("{{.Name", "template: :1: unclosed action"),
        ("\n\n{{.Name", "template: :3: unclosed action"),
        ("{{.", 'template: :1: illegal number syntax: "."'),
        ("{{}}", "template: :1: missing value for command"),
        ("{{if}}x{{end}}", "template: :1: missing value for if"),
        ("{{if .A}}x", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{else}}", "template: :1: unexpected {{else}}"),
        ("{{foo .A}}", 'template: :1: function "foo" not defined'),
        ("{{$x}}", 'template: :1: undefined variable "$x"'),
        ('{{"abc', "template: :1: unterminated quoted string"),
        ("{{`abc", "template: :1: unterminated raw quoted string"),
        ("{{'ab'}}", "template: :1: malformed character constant: 'ab'"),
        ("{{/* x", "template: :1: unclosed comment"),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ("{{(.A}}", "template: :1: unclosed left paren"),
        ("{{.A)}}", "template: :1: unexpected right paren"),
        ("{{.A | 1}}", "template: :1: non executable command in pipeline stage 2"),
        ("{{@}}", 'template: :1: unexpected "@" in command'),
        ("{{.A |}}", "template: :1: missing value for command"),
    ],
)
def test_what_does_not_parse_has_gos_message(source: str, message: str) -> None:
    with pytest.raises(ParseFailed) as caught:
        Template(source)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Name.Foo}}", '1:7: executing "" at <.Name.Foo>: can\'t evaluate field Foo in type string'),
        ("{{.Missing.Foo}}", "nil pointer evaluating interface {}.Foo"),
        (
            "{{index .Env 9}}",
            '1:2: executing "" at <index .Env 9>: error calling index: index out of range: 9',
        ),
        ("{{index .Nothing 0}}", "error calling index: index of untyped nil"),
        ("{{len .Count}}", "error calling len: len of type int"),
        ("{{eq .Name 1}}", "error calling eq: incompatible types for comparison"),
        ("{{lt .On .On}}", "error calling lt: invalid type for comparison"),
        ('{{template "nope"}}', 'at <{{template "nope"}}>: template "nope" not defined'),
        ("{{range .Name}}{{end}}", "range can't iterate over web"),
        ("{{nil}}", "nil is not a command"),
        ("{{.Name .Count}}", "Name is not a method but has arguments"),
        ("{{1 2}}", "can't give argument to non-function 1"),
        ("{{truncate .Name}}", "wrong number of args for truncate: want 2 got 1"),
        ("{{json}}", "wrong number of args for json: want 1 got 0"),
        ('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', "exceeded maximum template depth"),
    ],
)
def test_what_does_not_fit_the_data_has_gos_message(source: str, message: str) -> None:
    with pytest.raises(ExecutionFailed) as caught:
        Template(source).render(DATA)
    assert message in str(caught.value)


def test_a_strict_template_refuses_missing_keys() -> None:
    with pytest.raises(ExecutionFailed, match='map has no entry for key "Missing"'):
        Template("{{.Missing}}").render(DATA, strict=True)


def test_records_have_fields_and_methods() -> None:
    class Record:
        def template_field(self, name: str, *given: object) -> object:
            if name == "Label":
                return f"label {given[0]}"
            raise Failure(f"can't evaluate field {name} in type *formatter.Thing")

    assert Template('{{.Label "x"}}').render(Record()) == "label x"
    with pytest.raises(ExecutionFailed, match=r"field Nope in type \*formatter.Thing"):
        Template("{{.Nope}}").render(Record())


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        ("%d|%5d|%-5d|%05d|%+d", (1, 2, 3, -4, 5), "1|    2|3    |-0004|+5"),
        ("%s|%10s|%-5s|%.2s|%q", ("a", "b", "c", "def", 'q"'), 'a|         b|c    |de|"q\\""'),
        ("%x %X %#x %o %b %c %U", (255, 255, 255, 8, 5, 65, 9786), "ff FF 0xff 10 101 A U+263A"),
        (
            "%f %.2f %8.3f %e %g %v",
            (1.5, 1.005, 3.14159, 12345.678, 1e21, 0.1),
            "1.500000 1.00    3.142 1.234568e+04 1e+21 0.1",
        ),
        ("%t %v %v %v", (True, None, [1, "a"], {"b": 1, "a": 2}), "true <nil> [1 a] map[a:2 b:1]"),
        ("%T %T %T %T", (1, "a", [], None), "int string []interface {} <nil>"),
        ("%%", (), "%"),
        ("%d", ("x",), "%!d(string=x)"),
        ("%s", (1,), "%!s(int=1)"),
        ("%d %d", (1,), "1 %!d(MISSING)"),
        ("%d", (1, 2, "x"), "1%!(EXTRA int=2, string=x)"),
        ("%z", (1,), "%!z(int=1)"),
        ("%", (), "%!(NOVERB)"),
        ("%*d|%-*d", (4, 1, 4, 2), "   1|2   "),
        ("%x", ("hi",), "6869"),
    ],
)
def test_printf_has_gos_verbs(form: str, values: tuple[object, ...], text: str) -> None:
    assert sprintf(form, *values) == text


@given(st.text(max_size=30))
def test_a_quoted_string_means_itself(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()

    assert unquote(quote(text)) == text
    assert Template("{{" + quote(text) + "}}").render(None) == text


@given(st.text(alphabet='{}.-$ ()|:="`/*ifendrgwthlsNam1x,\n', max_size=40))
def test_any_text_is_carried_out_or_refused(source: str) -> None:
    try:
        Template(source).render(DATA)
    except TemplateFailed:
        pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_of_any_value_is_that_value(value: object) -> None:
    assert json.loads(Template("{{json .}}").render(value)) == value
