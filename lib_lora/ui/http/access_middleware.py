"""Checks every request to the standalone page, and puts the page's own scripts into the head of gradio's page.

A machine may have many accounts, and a page is for the one that started it: each request needs the token, which a
browser has as a cookie once it was led here by an address with a secret (`login_link`), or, from other machines, with
the token itself. Where those are not let in, a request under another name is another site's that had its name point
here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lib_lora.hosts.standalone import Alone
from lib_lora.ui.http.login_link import ONCE, LoginSecrets
from lib_lora.ui.http.request_context import PREFIX
from lib_lora.ui.http.responses import Refused, refusal
from lib_lora.ui.http.route_access import PARAMETER, admitted, stranger
from lib_lora.ui.http.slow_connections import hurried

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# gradio's page asks for fonts and for the script of a frame that it is not in; nothing is fetched from elsewhere
_ELSEWHERE = re.compile(rb'<link\s[^>]*href="https?://[^>]*>|<script\s[^>]*src="https?://[^>]*>\s*</script>')
_CLOSED = (
    "This page is for the person who started SameFace. Open the file page-{port}.html in SameFace's data folder, or "
    "the address that was printed at the start (the one for this machine opens the page once)."
)
_HTML = "<!doctype html><meta charset=utf-8><meta name=referrer content=no-referrer><title>SameFace</title><p>{}</p>"
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class AccessMiddleware:
    """An ASGI app around the page.

    Args:
        app: the page.
        host: says who comes in.
        token: of the page, and of the address that is given to others.
        head: HTML for the page's head.
        entry: the secrets that open the page once.
    """

    def __init__(self, app: App, host: Alone, token: str, head: str, entry: LoginSecrets) -> None:
        self._app, self._host, self._token, self._head = app, host, token, head.encode("utf-8")
        self._entry = entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if scope["type"] == "http":
            receive = hurried(receive)
        if refused is not None and scope["type"] == "http":
            await refused(scope, receive, send)
        elif refused is not None:
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and scope["path"] == "/":
            await self._app(_uncompressed(scope), receive, self._into_head(send))
        else:
            await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if strange := stranger(headers, self._host.remote()):
            return _said(scope, strange, 403)
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        opening = scope["type"] == "http" and scope["path"] == "/" and scope["method"] == "GET"
        known = admitted(self._host, self._token, headers, cookie_parser(headers.get("cookie", "")), query)
        if not known and not (opening and self._entry.take(query.get(ONCE, ""))):
            return _said(scope, _CLOSED.format(port=(scope.get("server") or ("", ""))[1]), 401)
        return self._let_in() if opening and (PARAMETER in query or ONCE in query) else None

    def _let_in(self) -> Response:
        """The token goes into a cookie, and all secrets out of the address, which is seen and sent on."""
        answer = RedirectResponse("/", 303, _PRIVATE)
        cookie = SimpleCookie({self._host.cookie: self._token})
        for key, value in (("path", "/"), ("httponly", "1"), ("samesite", "Lax")):
            cookie[self._host.cookie][key] = value
        answer.headers["set-cookie"] = cookie.output(header="").strip()
        return answer

    def _into_head(self, send: Send) -> Send:
        """Pass an answer on; the whole of a page is held until it can be changed."""
        start: MutableMapping[str, Any] = {}
        body = bytearray()

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            headers = MutableHeaders(raw=list(start.get("headers", ())))
            content = bytes(body)
            if headers.get("content-type", "").startswith("text/html"):
                content = _ELSEWHERE.sub(b"", content).replace(b"</head>", self._head + b"</head>", 1)
                headers["content-length"] = str(len(content))
                headers["cache-control"] = "no-store"
            await send({**start, "headers": headers.raw})
            await send({"type": "http.response.body", "body": content})

        return sent


def _said(scope: Scope, sentence: str, status: int) -> Response:
    """A refusal: JSON for who asks a route, else a page."""
    if scope["path"].startswith(f"{PREFIX}/"):
        return refusal(Refused(status, sentence), scope["path"])
    return HTMLResponse(_HTML.format(html.escape(sentence)), status, _PRIVATE)


def _uncompressed(scope: Scope) -> Scope:
    return {**scope, "headers": [one for one in scope["headers"] if one[0] != b"accept-encoding"]}
