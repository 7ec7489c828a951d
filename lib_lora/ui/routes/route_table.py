"""Puts all routes together in one router for any FastAPI app.

Run as a module, it prints their list.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from lib_lora.hosts.host_protocol import Host
from lib_lora.ui.http import route_access
from lib_lora.ui.http.request_context import PREFIX, Call, RequestContext, Route, get
from lib_lora.ui.http.responses import answered, missing, sweep
from lib_lora.ui.routes import (
    doctor_routes,
    job_routes,
    lora_file_routes,
    overview_routes,
    schema,
    settings_routes,
    use_routes,
)
from lib_lora.ui.routes.character import caption_routes, character_routes, invent_routes, photo_routes, undo_routes
from lib_lora.ui.routes.library import library_routes, library_task_routes
from lib_lora.ui.routes.pictures import combined_routes, grid_routes, production_file_routes, production_routes
from lib_lora.ui.routes.train import place_routes, plan_routes, rent_routes, run_routes
from lib_lora.ui.views import imports

if TYPE_CHECKING:
    from lib_lora.queue.queue import Queue
    from lib_lora.queue.running.supervisor import Supervisor

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]
_ROOMS = (
    *(
        overview_routes,
        character_routes,
        undo_routes,
        invent_routes,
        photo_routes,
        imports,
        caption_routes,
        plan_routes,
        place_routes,
        rent_routes,
    ),
    *(
        job_routes,
        run_routes,
        grid_routes,
        combined_routes,
        lora_file_routes,
        use_routes,
        production_routes,
        production_file_routes,
    ),
    *(library_routes, library_task_routes, doctor_routes, settings_routes),
)


def all_routes() -> list[Route]:
    """Every route, in the order of the steps from photos to a finished LoRA."""
    return [*(route for room in _ROOMS for route in room.routes()), get("/schema", _schema)]


def _schema(_context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """This list."""
    return schema.described(all_routes())


def _nothing(_context: RequestContext, _call: Call) -> Any:
    """What is not there."""
    raise missing("There is no such address.")


def router(host: Host, queue: Queue, supervisor: Supervisor, token: str = route_access.TOKEN) -> APIRouter:
    """All routes.

    Args:
        host: the program around SameFace.
        queue: of jobs; `supervisor` runs them.
        token: of the page.
    """
    context = RequestContext(host, queue, supervisor, token)
    sweep(context.root)
    made = APIRouter()
    for route in all_routes():
        _add(made, route.path, _endpoint(context, route), route.method)
    rest = _endpoint(context, Route("GET", "/{rest:path}", _nothing))  # in our words, not in the host's
    _add(made, "/{rest:path}", rest, "GET", "POST")
    return made


def _add(to: APIRouter, path: str, endpoint: Endpoint, *methods: str) -> None:
    """As a route of Starlette's: FastAPI's own look through the signature of each endpoint, twice and in vain."""
    to.add_route(f"{PREFIX}{path}", endpoint, methods=list(methods), include_in_schema=False)


def _endpoint(context: RequestContext, route: Route) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "HEAD":  # which Starlette adds to each GET
            raise HTTPException(405, headers={"Allow": route.method})
        return await answered(context, route, request)

    return endpoint


if __name__ == "__main__":
    import sys

    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write((schema.as_types if "--types" in sys.argv else schema.as_markdown)(all_routes()))
