"""What the engine finds out about its host."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.engine.host import limits_swap_v2


@pytest.mark.parametrize("has_swap", [True, False])
def test_swap_can_be_limited_where_the_nearest_memory_controller_counts_it(
    tmp_path: Path, has_swap: bool
) -> None:
    leaf = tmp_path / "system.slice" / "wherryd.service" / "wherryd"
    leaf.mkdir(parents=True)
    (leaf.parent / "memory.current").touch()
    if has_swap:
        (leaf.parent / "memory.swap.max").touch()

    assert limits_swap_v2(str(tmp_path), "/system.slice/wherryd.service/wherryd") is has_swap


@pytest.mark.parametrize("group", ["/", "/without/controllers", ""])
def test_the_root_says_nothing_about_swap_and_the_kernel_is_asked(tmp_path: Path, group: str) -> None:
    assert limits_swap_v2(str(tmp_path), group) is Path("/proc/swaps").exists()
