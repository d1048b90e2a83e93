"""The same call for several containers at once.

The calls run side by side on connections of their own: stopping ten containers takes one grace
time.  Names of those that succeeded go to standard output in the order given; the failures follow
on standard error and make the exit code 1.
"""

from __future__ import annotations

from wherry.cli.failures import FAILED
from wherry.client.failures import ErrorResponse, NotModifiedResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry.cli.session import Session

    Call = tuple[str, str, Sequence[tuple[str, str]]]

SIDE_BY_SIDE = 50


def for_each(
    session: Session,
    names: Sequence[str],
    call: Callable[[str], Call],
    *,
    forgive: type[ErrorResponse] | None = None,
) -> int:
    """Make `call(name)` for every name and return the exit code; failures of kind `forgive` are silent."""
    failures: list[str] = []
    for start in range(0, len(names), SIDE_BY_SIDE):
        some = names[start : start + SIDE_BY_SIDE]
        for name, failure in zip(some, _make(session, [call(name) for name in some]), strict=True):
            if failure is None or isinstance(failure, NotModifiedResponse):
                session.line(name)
            elif forgive is None or not isinstance(failure, forgive):
                failures.append(str(failure))
    if failures:
        session.err("\n".join(failures) + "\n")
    return FAILED if failures else 0


def _make(session: Session, calls: list[Call]) -> list[ErrorResponse | None]:
    if len(calls) == 1:
        method, path, query = calls[0]
        try:
            session.client.send(method, path, query=query)
        except ErrorResponse as error:
            return [error]
        return [None]
    pending = [session.client.begin(method, path, query=query) for method, path, query in calls]
    failures: list[ErrorResponse | None] = []
    for call in pending:
        try:
            call.wait_accepted()
            failures.append(None)
        except ErrorResponse as error:
            failures.append(error)
        finally:
            call.close()
    return failures
