"""References against the published grammar."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import InvalidArgument
from wherry.oci.digest import InvalidDigest
from wherry.oci.reference import InvalidReference, Reference, parse_normalized

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
DOMAIN = rf"(?:{LABEL}(?:\.{LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
CANONICAL = re.compile(
    rf"(?P<domain>{DOMAIN})/(?P<path>{COMPONENT}(?:/{COMPONENT})*)"
    rf"(?::(?P<tag>{TAG}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?",
    re.ASCII,
)


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("ann/app", "docker.io/ann/app:latest", "ann/app:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:t", "localhost:5000/app:t", "localhost:5000/app:t"),
        ("Foo/bar", "Foo/bar:latest", "Foo/bar:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"a.b/c:t@{DIGEST}", f"a.b/c:t@{DIGEST}", f"a.b/c:t@{DIGEST}"),
        ("a__b-c---d.e_f", "docker.io/library/a__b-c---d.e_f:latest", "a__b-c---d.e_f:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(text: str, canonical: str, familiar: str) -> None:
    reference = parse_normalized(text)

    assert str(reference) == canonical
    assert reference.familiar() == familiar
    assert parse_normalized(canonical) == parse_normalized(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "@", "/", "a/", "/a", "a//b", "a:", "a:b:c", "a@", f"a@sha256:{HEX[:31]}", "a b", "a\n",
        "a\0", "-a", "a-",
        ".a", "a.", "_a", "a..b", "a___b", "a_.b", "a/../b", "a/./b", "\u00e9", "a:\u0661",
        "a:-t", "a:" + "t" * 129,
        "a%2e",
        "foo:x/bar", "foo_bar.com/x", "-foo.com/x", "foo.com:/x", "[::1/x", "[]/x", "[::1]x/x", "http://a/b",
        "a@b@c", f"a@{DIGEST}@{DIGEST}",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse_normalized(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
        ("foo/Bar:Tag", "invalid reference format: repository name (foo/Bar) must be lowercase"),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("a b", "invalid reference format"),
        ("a" * 256, "repository name must not be more than 255 characters"),
    ],
)
def test_the_refusal_is_docker_s(text: str, message: str) -> None:
    with pytest.raises(InvalidReference) as failure:
        parse_normalized(text)

    assert str(failure.value) == message


@pytest.mark.parametrize(
    ("digest", "message"),
    [
        ("sha256:" + HEX[:63], "invalid checksum digest length"),
        ("sha256:" + HEX.upper(), "invalid checksum digest format"),
        ("md5:" + HEX[:32], "unsupported digest algorithm"),
    ],
)
def test_a_bad_digest_is_refused(digest: str, message: str) -> None:
    with pytest.raises(InvalidDigest, match=message):
        parse_normalized(f"busybox@{digest}")


def test_a_reference_is_a_value() -> None:
    reference = parse_normalized("busybox")

    assert {reference, parse_normalized("docker.io/busybox")} == {reference}
    with pytest.raises(AttributeError):
        reference.tag = "x"  # type: ignore[misc]


@given(st.from_regex(CANONICAL, fullmatch=True))
def test_what_the_grammar_has_is_accepted_and_kept(text: str) -> None:
    match = CANONICAL.fullmatch(text)
    assert match is not None
    if len(f"{match['domain']}/{match['path']}") > 255:
        with pytest.raises(InvalidReference):
            Reference(match["domain"], match["path"])
        return

    reference = Reference(match["domain"], match["path"], match["tag"])

    assert str(reference) == f"{match['domain']}/{match['path']}" + (
        f":{match['tag']}" if match["tag"] else ""
    )


@given(st.text(alphabet="aA0/:@._-[]%\u00e9\n ", max_size=40))
def test_what_is_accepted_is_in_the_grammar_and_settled(text: str) -> None:
    try:
        reference = parse_normalized(text)
    except InvalidArgument:
        return

    assert CANONICAL.fullmatch(str(reference))
    assert parse_normalized(str(reference)) == reference
    assert parse_normalized(reference.familiar()) == reference
