"""Decides who may use SameFace's routes: whoever the webui itself lets in.

Routes that an extension adds are protected by nothing, whatever flags the webui was started with. Knows no webui; flags
and app are given to it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from typing import Any

_COOKIES = ("access-token", "access-token-unsecure")


def admits(
    headers: Mapping[str, str], cookies: Mapping[str, str], api_auth: str | None, app: Any, login: bool = False
) -> bool:
    """Whether a request may pass.

    With ``--api-auth`` HTTP Basic counts, with ``--gradio-auth`` the cookie that gradio gives at login; either will do
    where both are set, and everything passes where none is. With ``--api-auth`` alone the page itself is open, and its
    scripts prove themselves by the page's own token, which is not looked at here.

    Args:
        headers: of the request.
        cookies: of the request.
        api_auth: the flag's value, ``USER:PASSWORD,USER2:PASSWORD2``.
        app: gradio's, which knows who is logged in; None where there is none (yet).
        login: the page needs a login, even if `app` does not say so.
    """
    login = login or bool(getattr(app, "auth", None))
    if not api_auth and not login:
        return True
    return (bool(api_auth) and _basic(headers, api_auth or "")) or (login and _logged_in(cookies, app))


def _basic(headers: Mapping[str, str], api_auth: str) -> bool:
    given = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    scheme, _, encoded = given.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        said = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    known = [one.strip().encode("utf-8") for one in api_auth.split(",") if ":" in one]
    return sum(secrets.compare_digest(said, one) for one in known) > 0  # all are compared: the time tells nothing


def _logged_in(cookies: Mapping[str, str], app: Any) -> bool:
    tokens = getattr(app, "tokens", None) or {}
    own = getattr(app, "cookie_id", None)  # gradio 4 ends the names with it
    names = [f"{name}-{own}" for name in _COOKIES] if own else list(_COOKIES)
    return any(cookies.get(name) in tokens for name in names if cookies.get(name))
