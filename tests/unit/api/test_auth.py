"""Credentials: every way in which clients write them, and never in a log."""

import base64
import json

import pytest

from wherry.api.auth import ANONYMOUS, RegistryAuth, decode_auth, decode_auth_config
from wherry.errors import InvalidArgument

KNOWN = {"username": "u", "password": "p>?~ÿ", "serveraddress": "r.example"}
EXPECTED = RegistryAuth(username="u", password="p>?~ÿ", server_address="r.example")


def encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padded", [True, False])
def test_every_alphabet_and_padding_is_read(encode: "object", padded: bool) -> None:
    assert callable(encode)
    text = encode(encoded(KNOWN)).decode()

    assert decode_auth(text if padded else text.rstrip("=")) == EXPECTED


@pytest.mark.parametrize("header", [None, "", "e30=", base64.b64encode(b"null").decode()])
def test_nothing_is_anonymous(header: str | None) -> None:
    assert decode_auth(header) == ANONYMOUS
    assert decode_auth(header).is_anonymous


def test_the_form_of_the_configuration_file_is_read() -> None:
    pair = base64.b64encode(b"user:pass:word").decode()

    auth = decode_auth(base64.b64encode(encoded({"auth": pair})).decode())

    assert (auth.username, auth.password) == ("user", "pass:word")


def test_names_of_members_match_in_any_case_and_unknown_ones_are_left() -> None:
    auth = decode_auth(base64.b64encode(encoded({"IdentityToken": "t", "email": "x", "n": 1})).decode())

    assert auth.identity_token == "t"


@pytest.mark.parametrize("header", ["%%%", "bm90IGpzb24=", base64.b64encode(b"[]").decode(), "A" * 100_000])
def test_anything_else_is_refused(header: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid X-Registry-Auth header"):
        decode_auth(header)


def test_the_header_of_builds_names_hosts() -> None:
    header = base64.b64encode(encoded({"r.example": KNOWN})).decode()

    assert decode_auth_config(header) == {"r.example": EXPECTED}


def test_a_secret_does_not_show() -> None:
    assert "p>?~" not in repr(EXPECTED)
    assert "p>?~" not in str(EXPECTED)
