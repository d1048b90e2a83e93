"""`container top`"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.flags import Options
from wherry.cli.session import Session
from wherry.cli.tables import align

COMMAND = Command("CONTAINER [ps OPTIONS]", minimum=1, interspersed=False)


def run(session: Session, _options: Options, arguments: list[str]) -> int:
    """Show the processes of a container as ps shows them."""
    name, *ps_arguments = arguments
    query = [("ps_args", " ".join(ps_arguments))] if ps_arguments else []
    answer = session.client.json("GET", f"/containers/{name}/top", query=query)
    rows = [answer["Titles"] or [], *(answer["Processes"] or [])]
    session.out(align("".join("\t".join(row) + "\n" for row in rows), minimum=20))
    return 0
