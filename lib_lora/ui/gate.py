"""In front of the page without a webui: who comes in, and what gradio's page gets into its head.

A page on this machine is for this machine's user: a request under another name is another site's that had its name
point here. With other machines let in, each request needs the token, which the first address brings as a cookie.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lib_lora.hosts.alone import Alone
from lib_lora.ui.guard import PARAMETER, admitted, stranger

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# gradio's page asks for fonts and for the script of a frame that it is not in; nothing is fetched from elsewhere
_ELSEWHERE = re.compile(rb'<link\s[^>]*href="https?://[^>]*>|<script\s[^>]*src="https?://[^>]*>\s*</script>')
_CLOSED = (
    "<!doctype html><meta charset=utf-8><title>SameFace</title><p>Open the address that SameFace printed when it was "
    "started; it ends in a token that lets you in.</p>"
)


class Gate:
    """An ASGI app around the page.

    Args:
        app: the page.
        host: says who comes in.
        token: of the page, and of the address that is given to others.
        head: HTML for the page's head.
    """

    def __init__(self, app: App, host: Alone, token: str, head: str) -> None:
        self._app, self._host, self._token, self._head = app, host, token, head.encode("utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
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
            return HTMLResponse(strange, 403)
        if not self._host.remote():
            return None
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        if not admitted(self._host, self._token, headers, cookie_parser(headers.get("cookie", "")), query):
            return HTMLResponse(_CLOSED, 401)
        return self._let_in() if scope["path"] == "/" and PARAMETER in query else None

    def _let_in(self) -> Response:
        """The token goes from the address, which is seen and sent on, into a cookie."""
        answer = RedirectResponse("/", 303)
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


def _uncompressed(scope: Scope) -> Scope:
    return {**scope, "headers": [one for one in scope["headers"] if one[0] != b"accept-encoding"]}
