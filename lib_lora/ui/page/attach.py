"""Attaches SameFace to a host at its start and after each "Reload UI"; queue and supervisor are made once.

A webui's start waits for nothing that can come later: routes and queue are loaded in a thread of their own once its
page is there, or for the first request, whichever is sooner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.routing import Match

from lib_lora import file_permissions
from lib_lora.hosts.host_protocol import Host
from lib_lora.ui.http import route_access
from lib_lora.ui.http.paths import ensure_folder
from lib_lora.ui.http.request_context import PREFIX
from lib_lora.ui.page import page_modules

if TYPE_CHECKING:
    import gradio as gr  # type: ignore[import-untyped, import-not-found, unused-ignore]

    from lib_lora.queue.queue import Queue
    from lib_lora.queue.running.supervisor import Supervisor

_log = logging.getLogger("sameface")
_lock = Lock()
_kept: dict[Path, tuple[Queue, Supervisor]] = {}  # by data folder; outlives the scripts, not the process


class Attached:
    """What a host gives on. Made by `attach`."""

    def __init__(self, host: Host, root: Path, later: bool) -> None:
        self._host, self._root, self._later = host, root, later
        self._router: APIRouter | None = None

    def tab(self) -> gr.Blocks:
        """The tab (`hosts.webuis.webui_page.register` takes it)."""
        from lib_lora.ui.page.tab import tab

        return tab(self._host, route_access.TOKEN)

    def started(self, demo: Any, app: FastAPI) -> None:
        """Put the routes into an app, once, and start the supervisor; for a webui's `on_app_started`."""
        if not getattr(app.state, "sameface", False):
            app.state.sameface = True
            app.include_router(page_modules.router())
            app.include_router(_late(self._routes) if self._later else self._routes())
        if self._later:
            Thread(target=self._begin, name="sameface-begin", daemon=True).start()
        else:
            self.supervisor.start()

    @property
    def queue(self) -> Queue:
        """The queue of the data folder."""
        return self._parts()[0]

    @property
    def supervisor(self) -> Supervisor:
        """The supervisor of the data folder."""
        return self._parts()[1]

    def _begin(self) -> None:
        try:
            self.supervisor.start()
            self._routes()
        except Exception:  # the caller is told
            _log.exception("SameFace could not start")

    def _parts(self) -> tuple[Queue, Supervisor]:
        from lib_lora.queue.queue import Queue
        from lib_lora.queue.runners.runner_choice import ChosenRunner
        from lib_lora.queue.running.supervisor import Supervisor

        with _lock:
            if self._root not in _kept:
                runner = ChosenRunner(self._root, lambda: _kept[self._root][1].host)
                _kept[self._root] = Queue(self._root), Supervisor(self._root, self._host, runner)
            return _kept[self._root]

    def _routes(self) -> APIRouter:
        if self._router is None:
            from lib_lora.ui.routes.route_table import router

            self._router = router(self._host, self.queue, self.supervisor)
        return self._router


def attach(host: Host, later: bool = False) -> Attached:
    """Make SameFace part of a host.

    Args:
        host: the program around SameFace.
        later: `Attached.started` returns at once; see the module.

    Raises:
        UserError: the data folder cannot be used.
    """
    root = host.roots().data
    file_permissions.keep(root)
    ensure_folder(root)
    with _lock:
        if root in _kept:
            _kept[root][1].host = host  # a reloaded script brings a new one
    return Attached(host, root, later)


def _late(made: Callable[[], APIRouter]) -> APIRouter:
    """One route in place of all those of a router, which is made when the first request comes."""

    async def endpoint(request: Request) -> Response:
        from lib_lora.ui.http.responses import missing, refusal

        try:
            routes = (await run_in_threadpool(made)).routes
            request.scope["path_params"] = {}
            for route in routes:
                match, found = route.matches(request.scope)
                if match is Match.FULL:
                    request.scope.update(found)
                    answer: Response = await route.endpoint(request)  # type: ignore[attr-defined]
                    return answer
            raise missing("There is no such address.")
        except Exception as error:
            return refusal(error, request.url.path)

    late = APIRouter(prefix=PREFIX)
    late.add_api_route("/{rest:path}", endpoint, methods=["GET", "POST"], include_in_schema=False, response_model=None)
    return late
