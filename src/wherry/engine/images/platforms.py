"""Platform parameters: `os/arch[/variant]`, or a JSON object of the image specification."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.files import json
from wherry.oci.platform import Platform


def platform_from_query(text: str | None) -> Platform | None:
    """The platform in a parameter; None where there is none.

    Raises:
        InvalidArgument: neither form.
    """
    if not text:
        return None
    if not text.lstrip().startswith("{"):
        return Platform.parse(text)
    try:
        return Platform.from_dict(json.loads(text))
    except ValueError as error:
        raise InvalidArgument(f"failed to parse platform: {error}") from None


def one_platform(texts: list[str]) -> Platform | None:
    """The platform of a parameter that may be repeated; the stores take one or all.

    Raises:
        InvalidArgument: several different ones.
    """
    found = {platform for text in texts if (platform := platform_from_query(text)) is not None}
    if len(found) > 1:
        raise InvalidArgument("multiple platform parameters are not supported")
    return next(iter(found), None)
