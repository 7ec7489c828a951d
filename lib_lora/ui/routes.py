"""All routes put together: one router for any FastAPI app."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lib_lora.hosts.base import Host
from lib_lora.ui import (
    captions,
    characters,
    doctor,
    grids,
    guard,
    imports,
    invented,
    jobs,
    lora_files,
    overview,
    photos,
    plans,
    runs,
    schema,
    settings,
    undo,
    use,
)
from lib_lora.ui.answers import answered, missing, sweep
from lib_lora.ui.desk import PREFIX, Call, Desk, Route, get

if TYPE_CHECKING:
    from lib_lora.jobs.queue import Queue
    from lib_lora.jobs.supervisor import Supervisor

_ROOMS = (
    *(overview, characters, undo, invented, photos, imports, captions, plans),
    *(jobs, runs, grids, lora_files, use, doctor, settings),
)


def all_routes() -> list[Route]:
    """Every route, in the order of a character's way."""
    return [*(route for room in _ROOMS for route in room.routes()), get("/schema", _schema)]


def _schema(_desk: Desk, _call: Call) -> list[dict[str, Any]]:
    """This list."""
    return schema.described(all_routes())


def _nothing(_desk: Desk, _call: Call) -> Any:
    """What is not there."""
    raise missing("There is no such address.")


def router(host: Host, queue: Queue, supervisor: Supervisor, token: str = guard.TOKEN) -> APIRouter:
    """All routes.

    Args:
        host: the program around SameFace.
        queue: of jobs; `supervisor` runs them.
        token: of the page.
    """
    desk = Desk(host, queue, supervisor, token)
    sweep(desk.root)
    made = APIRouter(prefix=PREFIX)
    for route in all_routes():
        made.add_api_route(
            route.path, _endpoint(desk, route), methods=[route.method], include_in_schema=False, response_model=None
        )
    rest = _endpoint(desk, Route("GET", "/{rest:path}", _nothing))  # in our words, not in the host's
    made.add_api_route("/{rest:path}", rest, methods=["GET", "POST"], include_in_schema=False, response_model=None)
    return made


def _endpoint(desk: Desk, route: Route) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        return await answered(desk, route, request)

    return endpoint
