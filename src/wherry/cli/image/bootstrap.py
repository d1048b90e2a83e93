"""`image bootstrap`: a first image from the distribution itself, where no registry can be reached.

`busybox` is the distribution's static busybox with a link for each of its applets; `debian` is
what mmdebstrap or debootstrap installs from the distribution's own sources.  Either is a tar
archive that streams to the daemon as an import.
"""

from __future__ import annotations

from wherry.cli.commands import Command
from wherry.cli.failures import CommandFailed
from wherry.cli.flags import Flag, Options
from wherry.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMAND = Command(
    "[OPTIONS] busybox|debian[:SUITE]",
    (
        Flag("mirror", "string", "Package mirror for debian (default: the sources of this machine)"),
        Flag("output", "string", "Write the archive to a file instead of loading it", short="o"),
        Flag("quiet", "bool", "Only print the names of the new images", short="q"),
    ),
    minimum=1,
    maximum=1,
)


def run(session: Session, options: Options, arguments: list[str]) -> int:
    """Build an image of this distribution and tag it."""
    name, _, suite = arguments[0].partition(":")
    if name == "busybox":
        if suite not in ("", "latest"):
            raise CommandFailed(f"busybox has no suite: {suite}")
        from wherry.cli.image.bootstrap_busybox import busybox_archive

        pieces, suite, command = busybox_archive(), "latest", '["sh"]'
    elif name == "debian":
        from wherry.cli.image.bootstrap_debian import debian_archive, default_suite

        suite = suite or default_suite()
        pieces, command = debian_archive(suite, mirror=options["mirror"]), '["bash"]'
    else:
        raise CommandFailed(
            f"unknown image to bootstrap: {name}", hint="Known are busybox and debian[:SUITE]."
        )
    if options["output"]:
        _write(options["output"], pieces)
        return 0
    from wherry.cli.image.transfer import import_image

    import_image(
        session,
        "-",
        f"{name}:{suite}",
        pieces,
        changes=(f"CMD {command}", f"ENV {_PATH}"),
        message=f"Bootstrapped from this distribution's {name}",
        quiet=options["quiet"],
    )
    session.line(f"{name}:{suite}")
    if suite != "latest":
        session.client.send("POST", f"/images/{name}:{suite}/tag", query=[("repo", name), ("tag", "latest")])
        session.line(f"{name}:latest")
    return 0


def _write(path: str, pieces: Iterable[bytes]) -> None:
    with open(path, "wb") as file:
        file.writelines(pieces)
