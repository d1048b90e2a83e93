"""What the engine says of itself."""

from __future__ import annotations

import asyncio

from tests.unit.engine.conftest import Lab

from wherry import __version__
from wherry.engine.system.info import system_info
from wherry.engine.system.version import version_info


def test_no_version_is_told_of_a_part_that_is_not_here(lab: Lab) -> None:
    async def scenario() -> None:
        async with lab.engine() as engine:
            info, version = await system_info(engine), await version_info(engine)

            assert (info["ContainerdCommit"], info["RuncCommit"]) == ({"ID": "N/A"}, {"ID": "N/A"})
            assert info["InitCommit"] == {"ID": __version__}
            assert [part["Name"] for part in version["Components"]] == [
                "Engine", "wherry-core", "wherry-runtime", "wherry-init",
            ]  # fmt: skip

    asyncio.run(scenario())
