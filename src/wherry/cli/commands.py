"""The table of commands: where each lives, its other names, and its line in the lists of help.

A command is a module `wherry.cli.<group>.<name>` with a `COMMAND` and a function
`run(session, options, arguments) -> int`.  Nothing here imports them: only the chosen one loads.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.cli.flags import Flag, Options
    from wherry.cli.session import Session

    Run = Callable[[Session, Options, list[str]], int]


class Command:
    """What a command module declares about itself: usage text, flags, count of arguments.

    `interspersed` is false for commands that run another one: flags end at the first argument.
    """

    __slots__ = ("description", "flags", "interspersed", "maximum", "minimum", "usage")

    def __init__(
        self,
        usage: str,
        flags: tuple[Flag, ...] = (),
        *,
        minimum: int = 0,
        maximum: int | None = None,
        interspersed: bool = True,
        description: str = "",
    ) -> None:
        self.usage = usage
        self.flags = flags
        self.minimum = minimum
        self.maximum = maximum
        self.interspersed = interspersed
        self.description = description


class Entry:
    """One line of the table: `path` is canonical, `top` its name without the group."""

    __slots__ = ("aliases", "module", "path", "summary", "top")

    def __init__(self, path: str, summary: str, top: str = "", aliases: tuple[str, ...] = ()) -> None:
        self.path = path
        self.summary = summary
        self.top = top
        self.aliases = aliases
        module = path.replace(" ", ".").replace("-", "_")
        self.module = f"wherry.cli.{module}" + ("_" if module.endswith(".import") else "")


GROUPS = {
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage the engine",
    "volume": "Manage volumes",
}

_ENTRIES = (
    Entry("container attach", "Attach this terminal's input and output to a running container", "attach"),
    Entry("container create", "Create a new container", "create"),
    Entry("container exec", "Execute a command in a running container", "exec"),
    Entry("container inspect", "Display detailed information on one or more containers"),
    Entry("container kill", "Kill one or more running containers", "kill"),
    Entry("container logs", "Fetch the logs of a container", "logs"),
    Entry("container ls", "List containers", "ps", ("list", "ps")),
    Entry("container pause", "Pause all processes within one or more containers", "pause"),
    Entry("container port", "List the port mappings of a container, or one of them", "port"),
    Entry("container prune", "Remove all stopped containers"),
    Entry("container rename", "Rename a container", "rename"),
    Entry("container restart", "Restart one or more containers", "restart"),
    Entry("container rm", "Remove one or more containers", "rm", ("remove",)),
    Entry("container run", "Create and run a new container from an image", "run"),
    Entry("container start", "Start one or more stopped containers", "start"),
    Entry("container stop", "Stop one or more running containers", "stop"),
    Entry("container top", "Display the running processes of a container", "top"),
    Entry("container unpause", "Unpause all processes within one or more containers", "unpause"),
    Entry("container wait", "Block until containers stop, then print their exit codes", "wait"),
    Entry("image bootstrap", "Build a first image from this distribution, without a registry"),
    Entry("image history", "Show the history of an image", "history"),
    Entry("image import", "Create an image from a tar archive of a root filesystem", "import"),
    Entry("image inspect", "Display detailed information on one or more images"),
    Entry("image load", "Load images from a tar archive or from standard input", "load"),
    Entry("image ls", "List images", "images", ("list",)),
    Entry("image prune", "Remove unused images"),
    Entry("image pull", "Download an image from a registry", "pull"),
    Entry("image push", "Upload an image to a registry", "push"),
    Entry("image rm", "Remove one or more images", "rmi", ("remove",)),
    Entry("image save", "Save images to a tar archive, by default to standard output", "save"),
    Entry("image tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", "tag"),
    Entry("network inspect", "Display detailed information on one or more networks"),
    Entry("network ls", "List networks", aliases=("list",)),
    Entry("system dial-stdio", "", ""),
    Entry("system events", "Get real time events from the server", "events"),
    Entry("system info", "Display system-wide information", "info"),
    Entry("system inspect", "Return low-level information on objects of any type", "inspect"),
    Entry("system prune", "Remove unused data"),
    Entry("system version", "Show the version of client and server", "version"),
    Entry("volume create", "Create a volume"),
    Entry("volume inspect", "Display detailed information on one or more volumes"),
    Entry("volume ls", "List volumes", aliases=("list",)),
    Entry("volume prune", "Remove unused local volumes"),
    Entry("volume rm", "Remove one or more volumes", aliases=("remove",)),
)

# Commands that exist at the top level only: their module sits in `system`, their path does not.
_TOP_ONLY = frozenset(("system inspect", "system version"))
COMMON = ("run", "exec", "ps", "pull", "push", "images", "version", "info")

ENTRIES = {entry.path: entry for entry in _ENTRIES}
TOP = {entry.top: entry for entry in _ENTRIES if entry.top}


def members(group: str) -> dict[str, Entry]:
    """The commands of a group by name, without their aliases."""
    return {
        path.partition(" ")[2]: entry
        for path, entry in ENTRIES.items()
        if path.startswith(group + " ") and path not in _TOP_ONLY
    }


def find(group: str, name: str) -> tuple[str, Entry] | None:
    """The command `name` of `group`, by name or alias, and its canonical name."""
    known = members(group)
    if name in known:
        return name, known[name]
    for canonical, entry in known.items():
        if name in entry.aliases:
            return canonical, entry
    return None


def other_names(entry: Entry) -> list[str]:
    """Every path of a command that has more than one, as its help lists them."""
    if entry.path in _TOP_ONLY:
        return []
    group = entry.path.partition(" ")[0]
    names = [entry.path, *(f"{group} {alias}" for alias in entry.aliases)]
    if entry.top:
        names.append(entry.top)
    return names if len(names) > 1 else []
