"""Mounts as values."""

from hypothesis import given
from hypothesis import strategies as st

from wherry.core.mounts import lower_directories, overlay

PATHS = st.lists(st.text(alphabet="/ab:\\,=ü ", min_size=1, max_size=12), min_size=1, max_size=6)


@given(PATHS)
def test_lower_directories_come_back_whatever_is_in_their_names(paths: list[str]) -> None:
    assert lower_directories(overlay(paths)) == paths


def test_127_layers_of_a_usual_root_fit_into_a_page_when_named_from_it() -> None:
    mount = overlay([f"{number}/fs" for number in range(100_000, 100_127)])

    assert len(",".join(mount.options)) < 4096
