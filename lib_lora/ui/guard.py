"""Who may use the routes: the page of this process by its token, and whoever the host lets in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from lib_lora.hosts.base import Host

TOKEN = secrets.token_urlsafe(32)  # one for each process; it is in the page, which the host protects
HEADER, PARAMETER = "x-sameface", "token"


def admitted(
    host: Host, token: str, headers: Mapping[str, str], cookies: Mapping[str, str], query: Mapping[str, str]
) -> bool:
    """Whether the sender of a request may use the routes.

    Args:
        host: asked where there is no token, or a wrong one.
        token: of the page.
        headers, cookies, query: of the request; the names of headers in small letters.
    """
    given = headers.get(HEADER) or query.get(PARAMETER) or ""
    if given and secrets.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8")):
        return True
    return host.admits(headers, cookies)
