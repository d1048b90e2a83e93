"""Waiting for a container's end."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, get_args

from wherry.engine.containers.container import Condition, ExitStatus
from wherry.errors import InvalidArgument

if TYPE_CHECKING:
    from asyncio import Future

    from wherry.engine.engine import Engine


async def wait_container(
    engine: Engine, reference: str, *, condition: str = "not-running"
) -> Awaitable[dict[str, Any]]:
    """Register for `condition` and return what to wait for: `{StatusCode[, Error]}`.

    The registration is made before this returns, so a start that follows cannot be missed.

    Raises:
        NotFound: no such container.
        InvalidArgument: no such condition.
    """
    container = engine.containers.find(reference)
    for known in get_args(Condition):
        if (condition or "not-running") == known:
            return _answer(container.waiter(known))
    raise InvalidArgument(f'invalid condition: "{condition}"')


async def _answer(waiter: Future[ExitStatus]) -> dict[str, Any]:
    status = await waiter
    answer: dict[str, Any] = {"StatusCode": status.code}
    if status.error:
        answer["Error"] = {"Message": status.error}
    return answer
