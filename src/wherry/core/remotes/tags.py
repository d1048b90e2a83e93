"""Tag lists: what a registry says are the tags of a repository, page by page.

A page names the next one in a Link header.  Only the query of that link is used, and at the same path: a
registry cannot lead anywhere with it, nor for ever.

Spec: distribution-spec, Listing Tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wherry.core.remotes.answers import read_document
from wherry.oci.documents import DOCUMENT_LIMIT_BYTES, InvalidDocument
from wherry.oci.reference import is_tag

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PAGE_TAGS = 1000
PAGES_LIMIT = 100
_QUERY_LIMIT = 4 << 10


def list_tags(path: str, ask: Callable[[str], BaseHTTPResponse]) -> list[str]:
    """All tags of the list at `path`, each once; `ask` gives the successful answer to a GET.

    Raises:
        InvalidDocument: no such list, a tag that is none, or pages without end.
    """
    tags: dict[str, None] = {}
    query = f"n={PAGE_TAGS}"
    for _ in range(PAGES_LIMIT):
        response, before = ask(f"{path}?{query}"), query
        page = read_document(response, "tag list", limit_bytes=DOCUMENT_LIMIT_BYTES).get("tags") or []
        query = _next_query(response.headers.get("Link", ""))
        if not isinstance(page, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in page):
            raise InvalidDocument("invalid tag list: expected a list of tags")
        tags |= dict.fromkeys(page)
        if not query:
            return list(tags)
        if query == before:
            raise InvalidDocument("invalid tag list: a page that names itself as the next one")
    raise InvalidDocument(f"invalid tag list: more than {PAGES_LIMIT} pages")


def _next_query(link: str) -> str:
    """The query of `</v2/name/tags/list?n=1000&last=b>; rel="next"`; empty for no such link."""
    target, _, parameters = link.strip().removeprefix("<").partition(">")
    if not link.strip().startswith("<") or "next" not in parameters:
        return ""
    if len(target) > _QUERY_LIMIT or not target.isascii() or not target.isprintable() or " " in target:
        raise InvalidDocument("invalid tag list: a link that is no URL")
    return urlsplit(target).query
