"""Sends requests to Civitai: the token only to its own host, redirects only to safe addresses.

Refusals are sentences.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

from lib_lora import __version__
from lib_lora.civitai.api.civitai_answers import error_of, is_web_page
from lib_lora.civitai.api.site_address import LOOPBACK
from lib_lora.errors import UserError, plural, typed
from lib_lora.remote.http_exchange import Reply

REDIRECTS = 5  # that are followed one after another
REDIRECTING = (301, 302, 303, 307, 308)
LONGEST_WAIT = 60.0  # seconds between two tries, whatever Retry-After says
_LONGEST = 8000  # letters of an address; signed ones are long


def request_to(url: str, site: str, token: str = "", first: int = 0) -> Request:
    """A request, with the token only where it goes to the site itself.

    Args:
        url: that was checked (`next_address`), or made here.
        site: whose token it is.
        token: the API key; empty = none.
        first: the first byte that is wanted of a file.
    """
    headers = {"User-Agent": f"SameFace/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    if first:
        headers["Range"] = f"bytes={first}-"
    if token and origin(url) == origin(site):
        headers["Authorization"] = f"Bearer {token}"
    return Request(url, headers=headers)


def next_address(url: str, location: str) -> str:
    """Where a redirect leads.

    Args:
        url: that was asked.
        location: as the answer says it; hostile.

    Raises:
        UserError: it leads nowhere, or out of an encrypted connection, or to this machine.
    """
    try:
        where = urljoin(url, location.strip())
        parts, host = urlsplit(where), urlsplit(where).hostname or ""
        same_machine = urlsplit(url).hostname in LOOPBACK
        safe = parts.scheme == "https" or (parts.scheme == "http" and same_machine)
        known = same_machine or origin(where) == origin(url)
        safe = safe and (known or not _is_inside(host)) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        safe, where, host = False, "", ""
    if not location or not safe or not host or len(where) > _LONGEST or not where.isascii() or not where.isprintable():
        raise UserError(
            f"{host_in(url)} sends the request on to an address that is not safe to ask; nothing was fetched, so try "
            "again later.",
            code="civitai-redirect-unsafe",
            host=host_in(url),
        )
    return where


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def host_in(url: str) -> str:
    """The host of an address, for sentences."""
    return (urlsplit(url).hostname or "")[:100]


def refusal(reply: Reply, url: str) -> UserError:
    """The error that an answer stands for which is neither good nor a redirect.

    Args:
        reply: the answer; its content may be cut off.
        url: that was asked.
    """
    host = host_in(url)
    said, deadline = error_of(reply.content)
    quoted = f" (it says: {said.rstrip('.')})" if said else ""
    token = typed("civitai", "token", "set")
    if reply.status == 401:
        return UserError(
            f"{host} requires a login for this file, or its creator has disabled downloads{quoted}; create an API key "
            f"in your account settings on the site, then run: {token}",
            code="civitai-login-needed",
            host=host,
        )
    if reply.status == 403 and said and (deadline or "early access" in said.lower()):
        until = f" until {deadline}" if deadline else ""
        return UserError(
            f"This is in early access{until} and available only to those who have paid for it on {host}; wait, or buy "
            "it there and try again with an API key.",
            code="civitai-early-access",
            host=host,
            until=deadline,
        )
    if is_web_page(reply.content) and reply.status not in (404, 410, 429):
        return web_page(url)
    if reply.status == 403:
        return UserError(
            f"{host} does not give you this{quoted}; see on its page whether your account may have it, and whether "
            "the API key is the right one.",
            code="civitai-not-allowed",
            host=host,
        )
    if reply.status == 404:
        return UserError(
            f"{host} does not have this, or you have no access to it{quoted}; check whether its page still exists.",
            code="civitai-not-found",
            host=host,
        )
    if reply.status == 410:
        return UserError(
            f"This is archived on {host}, and can no longer be downloaded{quoted}; look for another version.",
            code="civitai-archived",
            host=host,
        )
    if reply.status == 429:
        wait = plural(round(reply.retry_after), "second") if reply.retry_after else "some minutes"
        return UserError(
            f"{host} says that it was asked too often{quoted}; wait {wait}, and try again.",
            code="civitai-asked-often",
            host=host,
        )
    if reply.status == 451:
        return UserError(
            f"{host} is blocked where you are{quoted}; docs/civitai.md says what works without it.",
            code="civitai-blocked",
            host=host,
        )
    return UserError(
        f"{host} answers with status {reply.status}{quoted}; try again later.",
        code="civitai-refused",
        host=host,
        status=reply.status,
    )


def web_page(url: str) -> UserError:
    """The error for a page where something else was to come."""
    return UserError(
        f"{host_in(url)} returned a web page instead of the requested data: it may be down, blocked in your country, "
        "or require a browser; try again later, or download the file with your browser.",
        code="civitai-page-instead",
        host=host_in(url),
    )


def unreachable(url: str, why: str) -> UserError:
    """The error for a host that does not answer."""
    plain = "".join(one if one.isprintable() else " " for one in why)[:100].rstrip(" .")
    return UserError(
        f"{host_in(url)} cannot be reached now ({plain}); check that this computer is online, and try again later.",
        code="civitai-unreachable",
        host=host_in(url),
    )


def _is_inside(host: str) -> bool:
    """Whether a host is one of this machine or its network, which no site of the internet has to do with.

    Systems read 127.1, 2130706433 and 0x7f000001 as addresses of this machine, and add their own network's name to a
    name without a dot.
    """
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        pass
    if "." not in host or host.endswith(".") or host.lower().endswith((".localhost", ".local", ".internal")):
        return True
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True
