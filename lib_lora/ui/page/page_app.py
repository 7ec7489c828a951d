"""Serves the tab as a page of its own, without a webui: gradio's page with our scripts, and the routes in the same app.

Loads no torch: the page is there in a few seconds, and what is heavy runs in the worker.
"""

from __future__ import annotations

import html
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response

from lib_lora.errors import UserError
from lib_lora.hosts.standalone import Alone
from lib_lora.setup.environment import bundled
from lib_lora.ui.http import route_access
from lib_lora.ui.http.login_link import ONCE, Files, LoginSecrets
from lib_lora.ui.http.paths import ensure_folder
from lib_lora.ui.http.slow_connections import watching
from lib_lora.workflows.train.screen import at_a_screen, in_browser

PORT = 7869  # the first that is tried: A1111 and gradio take 7860 and up
_TRIES = 20
_STATIC = "/sameface/static"
_TYPES = {".js": "text/javascript", ".css": "text/css"}
# no footer with gradio's own links, and no margins around a page that has only one tab
_STYLE = (
    "footer { display: none !important; } .gradio-container { max-width: none !important; padding: 8px !important; }"
    " .gradio-container > .main { max-width: none !important; } .gradio-container :is(.main, .html-container)"
    " { padding: 0 !important; }"
)
_FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}


def serve(
    root: Path,
    port: int | None = None,
    listen: bool = False,
    opening: bool = True,
    models: Sequence[Path] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Show the page until Ctrl+C; then the worker saves and ends.

    The process may end in here, with status 0: see `_leave`.

    Args:
        root: the data folder.
        port: None = the first free one from `PORT` on.
        listen: let other machines in, who need the token in the address.
        opening: open the page in a browser, where a person sits at the screen.
        models: folders of base models, or single files.
        say: gets the address, once the page is there.

    Raises:
        UserError: the port is taken, the data folder cannot be used, or a path in `models` is not there.
    """
    for path in models:
        if not path.expanduser().exists():
            raise UserError(
                f"{path} does not exist; give a folder of base models, or one file.",
                code="models-folder-missing",
                folder=path,
            )
    with _socket(port, listen) as own:
        host = Alone(root, models, listen, route_access.TOKEN)
        from lib_lora.ui.page.attach import attach  # gradio and its neighbours take a second or two

        attached = attach(host)
        number = own.getsockname()[1]
        entry = LoginSecrets()
        doorway = Files(
            _own_folder(host.roots().data), number, route_access.TOKEN, lambda secret: address(number, secret)
        )

        def begun() -> None:
            kept = doorway.write(entry)
            entry.used = lambda used: doorway.renew(entry, used) if kept else say(again(address(number, entry.fresh())))
            for line in startup_lines(number, entry.fresh(), listen, doorway.page if kept else None):
                say(line)
            if opening and at_a_screen():
                in_browser(doorway.page.as_uri() if kept else address(number, entry.fresh()))

        try:
            _run(page(host, attached, entry), own, begun)
        finally:
            doorway.delete()
            say("Stopping; running work is saved.")
            attached.supervisor.close()
    _leave()


def address(port: int, secret: str) -> str:
    """The address of the page for a browser on this machine; it opens the page once."""
    return f"http://127.0.0.1:{port}/?{ONCE}={secret}"


def elsewhere(port: int) -> str:
    """The address for other machines. It has the token itself, so that a phone and a tablet both get in with it."""
    return f"http://{socket.gethostname()}:{port}/?{route_access.PARAMETER}={route_access.TOKEN}"


def startup_lines(port: int, secret: str, listen: bool, file: Path | None) -> list[str]:
    """What a person at the terminal has to know.

    Args:
        port: of the page.
        secret: opens it once.
        listen: other machines are let in.
        file: leads a browser of this machine to the page, however often; None where there is none.
    """
    lines = [f"SameFace: {address(port, secret)}"]
    lines.append(f"This address opens the page once. {f'For another browser, open {file}' if file else ''}".rstrip())
    if listen:
        lines.append(f"From other machines: {elsewhere(port)}")
        lines.append("Anyone who has this address can see the photos and train; the connection is not encrypted.")
    return [*lines, "Ctrl+C ends it."]


def again(where: str) -> str:
    """What is said once an address was used, where there is no file that leads to the page."""
    return f"For another browser: {where}"


def _own_folder(root: Path) -> Path:
    """Where a file can be kept from other accounts: the data folder; on Windows only if it is in the user's profile."""
    if sys.platform != "win32" or root.is_relative_to(Path.home()):
        return root
    local = os.environ.get("LOCALAPPDATA")
    return ensure_folder((Path(local) if local else Path.home() / "AppData" / "Local") / "sameface")


def page(host: Alone, attached: Any, entry: LoginSecrets | None = None) -> Any:
    """The whole app: routes, scripts, gradio's page, and who comes in.

    Args:
        host: the host.
        attached: of `ui.page.attach.attach`.
        entry: the secrets that open it once; None = there are none.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_SSR_MODE", "False")  # else gradio from 5 on starts Node where there is one
    import gradio as gr

    from lib_lora.ui.http.access_middleware import AccessMiddleware

    tab = attached.tab()  # made within the page's block, it would be drawn twice
    style = {"theme": gr.themes.Default(**_FONTS), "css": _STYLE}
    mounted = style if "theme" in signature(gr.mount_gradio_app).parameters else {}  # since gradio 6
    with gr.Blocks(title="SameFace", analytics_enabled=False, **({} if mounted else style)) as blocks:
        tab.render()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    attached.started(None, app)  # before gradio's page, which takes every address that is left

    @app.get(_STATIC + "/{name}", response_model=None)
    def static(name: str) -> Response:
        found = {path.name: path for path in files()}.get(name)
        if found is None:
            return Response("There is no such file.", 404)
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return FileResponse(found, media_type=_TYPES[found.suffix], headers=headers)

    return AccessMiddleware(
        gr.mount_gradio_app(app, blocks, path="/", **mounted),
        host,
        route_access.TOKEN,
        head(),
        entry or LoginSecrets(),
    )


def files() -> list[Path]:
    """The script that a webui loads too, and our style; the modules come from `page_modules`.

    Raises:
        UserError: they are not there.
    """
    scripts, style = sorted(bundled("javascript").glob("*.js")), bundled("style.css")
    if not scripts or not style.is_file():
        raise UserError(
            f"The page's script or style is missing from {style.parent}; install SameFace again.",
            code="page-files-missing",
            folder=style.parent,
        )
    return [*scripts, style]


def head() -> str:
    """HTML that loads them; a changed file has another address."""
    lines = []
    for path in files():
        where = html.escape(f"{_STATIC}/{path.name}?{path.stat().st_mtime_ns}", quote=True)
        lines.append(
            f'<link rel="stylesheet" href="{where}">'
            if path.suffix == ".css"
            else f'<script defer src="{where}"></script>'
        )
    return "".join(lines)


def _socket(port: int | None, listen: bool) -> socket.socket:
    """A bound socket, so that the port is ours before anything slow is loaded."""
    place = "0.0.0.0" if listen else "127.0.0.1"
    for number in [port] if port is not None else range(PORT, PORT + _TRIES):
        own = socket.socket()
        if sys.platform != "win32":  # there it means to take a port from another program
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind((place, number))
            return own
        except (OSError, OverflowError) as error:
            own.close()
            if port is not None:
                raise UserError(
                    f"Port {port} cannot be used ({error}); choose another one with --port.",
                    code="port-unusable",
                    port=port,
                ) from error
    raise UserError(
        f"The ports {PORT} to {PORT + _TRIES - 1} are all taken; choose another one with --port.", code="ports-taken"
    )


def _leave() -> None:
    """End the process at once if a thread still works (a picture is read, the tokenizer is loaded).

    The interpreter's own end unwinds such a thread; where that is in the middle of C++ or Rust, the process dies of
    SIGABRT ("FATAL: exception not rethrown"; Python before 3.14 does so).
    """
    if threading.active_count() > 1:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(0)


def _run(app: Any, own: socket.socket, begun: Callable[[], None]) -> None:
    """Serve until Ctrl+C, or until the system asks to end."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                begun()

    if threading.current_thread() is threading.main_thread():
        # uvicorn passes the signal on once it has ended; this one must then not end the process at once
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, ws_max_size=1 << 20)
    config.load()
    config.http_protocol_class = watching(config.http_protocol_class)
    with suppress(KeyboardInterrupt):
        Server(config).run(sockets=[own])
