"""Label filters: `key` or `key=value`, all of which must fit; `label!` must not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def label_matches(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether `labels` has the key, with the value if one is given."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def labels_match(labels: Mapping[str, str], wanted: Iterable[str], refused: Iterable[str] = ()) -> bool:
    """Whether `labels` fits all of `wanted` and none of `refused`."""
    return all(label_matches(labels, each) for each in wanted) and not any(
        label_matches(labels, each) for each in refused
    )
