"""Decides who may use the routes: the page of this process by its token, and whoever the host lets in.

A browser may be led to send requests by any page that its user looks at. So a request from another site's page is
refused whatever it proves, and so is one to this machine under a name that is not this machine's: a site can have its
own name point here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from lib_lora.hosts.host_protocol import Host

TOKEN = secrets.token_urlsafe(32)  # one for each process; it is in the page, which the host protects
HEADER, PARAMETER = "x-sameface", "token"
_OURS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.ASCII | re.IGNORECASE)
_ANOTHER_SITE = "This was sent by another site's page."
_ANOTHER_NAME = "This host name is not allowed. Open the page at 127.0.0.1 or localhost, or start with --listen."


def stranger(headers: Mapping[str, str], remote: bool) -> str:
    """Why a request cannot come from our own page; empty where it can.

    Args:
        headers: of the request; their names in small letters.
        remote: other machines may come in, under whatever name this one has for them.
    """
    name = headers.get("host", "")
    if not remote and not _OURS.fullmatch(name):
        return _ANOTHER_NAME
    if (origin := headers.get("origin")) is None:
        return ""
    names = {one.strip().casefold() for one in (name, headers.get("x-forwarded-host", ""))}
    try:
        place = urlsplit(origin).netloc.casefold()
    except ValueError:
        place = ""
    return "" if place and place in names else _ANOTHER_SITE  # "null" too: of a frame without an origin


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
