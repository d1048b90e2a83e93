"""JSON without the json package: the same values, and every malformed document refused."""

import json as reference
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.files import json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert json.loads(json.dumps(value)) == value


@given(VALUES)
def test_the_text_is_what_the_standard_library_reads(value: object) -> None:
    assert reference.loads(json.dumps(value, indent="  ")) == value


@pytest.mark.parametrize(
    "document", ["", "{", "[1]x", "NaN", '["a]', '{"a" 1}', "[1,]", "\ufeff1", "[" * 100_000]
)
def test_a_malformed_document_is_a_value_error(document: str) -> None:
    with pytest.raises(ValueError):
        json.loads(document)


@pytest.mark.parametrize("document", ["{", '["a]', '{"a" 1}'])
def test_a_malformed_document_is_a_value_error_without_the_json_package(document: str) -> None:
    code = (
        "import sys; from wherry.files import json; assert 'json' not in sys.modules\n"
        f"try: json.loads({document!r})\nexcept ValueError: print('refused')"
    )

    ran = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": "src"}, capture_output=True, text=True
    )

    assert ran.stdout == "refused\n", ran.stderr
