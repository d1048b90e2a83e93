"""Layers upon layers against a model of what they mean: dictionaries.

Random layers, with duplicates, whiteouts, opaque marks and changes of type in any order, are
applied by both drivers; both must show what the model says.
"""

import io
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.archives import write
from tests.integration.storage.conftest import Disk

from wherry.core.diff import apply
from wherry.errors import WherryError
from wherry.files.tar import Entry

NAMES = st.sampled_from(["a", "b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ITEMS = st.one_of(
    st.tuples(st.just("file"), PATHS),
    st.tuples(st.just("dir"), PATHS),
    st.tuples(st.just("whiteout"), PATHS),
    st.tuples(st.just("opaque"), st.one_of(st.just(""), PATHS)),
)
LAYERS = st.lists(st.lists(ITEMS, min_size=1, max_size=6), min_size=1, max_size=4)

Tree = dict[str, str]
"""By path: "dir", or the text of a file."""


class Contradiction(Exception):
    """An entry stands below a file of its own layer."""


def holders(path: str) -> list[str]:
    """The directories on the way to `path`."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]


def below(tree: Tree, path: str) -> list[str]:
    return [name for name in tree if name.startswith(f"{path}/" if path else "")]


def build(items: list[tuple[str, str]], label: str) -> tuple[Tree, set[str], set[str]]:
    """What a layer itself holds, what it removes, and the directories that hide what is below them."""
    own: Tree = {}
    removed: set[str] = set()
    opaque: set[str] = set()
    for number, (kind, path) in enumerate(items):
        way = holders(path) if kind != "opaque" else [*holders(path), *([path] if path else [])]
        if any(own.get(holder, "dir") != "dir" for holder in way):
            raise Contradiction
        for holder in way:
            own[holder] = "dir"
        if kind == "whiteout":
            removed.add(path)
        elif kind == "opaque":
            opaque.add(path)
        else:
            if own.get(path, "") != "dir" or kind != "dir":
                if path in own:
                    removed.add(path)  # another kind had the name: what was below it is hidden
                for name in below(own, path):
                    del own[name]
                    opaque.discard(name)
                opaque.discard(path)
            own[path] = "dir" if kind == "dir" else f"{label} {number}"
    return own, removed, opaque


def stack(tree: Tree, items: list[tuple[str, str]], label: str) -> Tree:
    """The tree after the layer."""
    own, removed, opaque = build(items, label)
    gone = {path for path, kind in own.items() if kind != "dir"} | removed
    seen: Tree = {}
    for path, kind in tree.items():
        way = [*holders(path), path]
        if any(name in gone for name in way) or any(
            directory in opaque for directory in ["", *holders(path)]
        ):
            continue
        if any(own.get(name) == "dir" and tree[name] != "dir" for name in way):
            continue
        seen[path] = kind
    return {**seen, **own}


def pack(items: list[tuple[str, str]], label: str) -> bytes:
    entries: list[tuple[Entry, bytes]] = []
    for number, (kind, path) in enumerate(items):
        holder, slash, name = path.rpartition("/")
        if kind == "dir":
            entries.append((Entry(f"{path}/".encode(), b"5", mode=0o755), b""))
        elif kind == "file":
            entries.append((Entry(path.encode()), f"{label} {number}".encode()))
        elif kind == "whiteout":
            entries.append((Entry(f"{holder}{slash}.wh.{name}".encode()), b""))
        else:
            entries.append((Entry(f"{path}/.wh..wh..opq".lstrip("/").encode()), b""))
    return write(entries)


def read(root: Path) -> Tree:
    return {
        str(path.relative_to(root)): "dir" if path.is_dir() else path.read_text()
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("driver", ["overlayfs", "native"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers=LAYERS)
def test_layers_mean_what_the_model_says(driver: str, layers: list[list[tuple[str, str]]]) -> None:
    assert os.geteuid() == 0, "needs root: overlay mounts"
    place = Path(tempfile.mkdtemp())
    disk = Disk(place)
    try:
        compare(disk, driver, layers)
    finally:
        disk.close()
        shutil.rmtree(place)


def compare(disk: Disk, driver: str, layers: list[list[tuple[str, str]]]) -> None:
    store = disk.drivers[driver]
    store.prepare("0")
    store.commit("layer 0", "0")
    tree: Tree = {}
    for number, items in enumerate(layers, 1):
        label = f"layer {number}"
        store.prepare(f"{number}", f"layer {number - 1}")
        try:
            tree = stack(tree, items, label)
        except Contradiction:
            with pytest.raises(WherryError):
                apply(store, f"{number}", io.BytesIO(pack(items, label)))
            return
        apply(store, f"{number}", io.BytesIO(pack(items, label)))
        store.commit(label, f"{number}")
        with disk.mounted(store.view(f"view {number}", label)) as root:
            assert read(root) == tree
