"""Names for containers that were given none: an adjective and the name of a navigator or engineer."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from wherry.errors import InvalidArgument

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ADJECTIVES = (
    "able agile amber ample ancient apt ardent azure balmy bold brave breezy bright brisk calm candid "
    "careful cheerful clear clever coastal cool copper coral cosy crisp daring deft distant eager early "
    "earnest easy fair faithful fine fleet fluent fond free fresh gallant gentle glad golden graceful grand "
    "hardy hazel hearty helpful honest humble ideal jaunty jolly keen kind lively loyal lucid lucky merry "
    "mild mindful modest nautical neat nimble noble northern open patient placid plain polished prompt proud "
    "quick quiet ready restful robust rosy salty serene sharp silent silver sincere smart smooth snug sober "
    "solid southern spry stable staunch steady stout sturdy sunny swift tidal tidy tranquil trim true trusty "
    "upbeat valiant vivid warm watchful western willing windward wise witty zesty"
).split()
_SURNAMES = (
    "amundsen anning archer baker barents batten beaufort bering blackwell bligh bonny brassey brown brunel "
    "cabot cook cousteau darwin davis diaz drake earhart earle eriksson fitzroy flinders franklin frobisher "
    "fuchs gama grace halley harrison henson herschel hood hopper hudson humboldt jansz johnson kingsley "
    "lapointe lovelace magellan marsden maury mercator mitchell moitessier nansen nelson noether ortelius "
    "park pasteur peary perry piccard polo pytheas raleigh rennell riddle ross sacagawea scoresby shackleton "
    "slocum smeaton somerville stark stephenson swan tasman tereshkova tharp thesiger torricelli treworgy "
    "vancouver vespucci watt wegener weddell whitby zheng"
).split()
_TRIES = 64


def generate_name(taken: Callable[[str], bool]) -> str:
    """A name that is not `taken`, with a number behind it where all tries were."""
    for _ in range(_TRIES):
        name = f"{secrets.choice(_ADJECTIVES)}_{secrets.choice(_SURNAMES)}"
        if not taken(name):
            return name
    while taken(name := f"{name}{secrets.randbelow(10)}"):
        pass
    return name


def checked_name(name: str) -> str:
    """`name` without its leading slash.

    Raises:
        InvalidArgument: with Docker's text.
    """
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare):
        raise InvalidArgument(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare
