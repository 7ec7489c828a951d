"""From a request to a handler, and from what the handler says, or raises, to an answer. Every answer is JSON or a file.

The body of a request is read here, within limits, and becomes the dataclass of its route. Nothing that goes wrong
shows a stack trace to the sender; the log has it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response

from lib_lora import settings
from lib_lora.environment import about_missing
from lib_lora.errors import UserError
from lib_lora.ui.desk import MB, Call, Desk, Route
from lib_lora.ui.guard import admitted, stranger

LOG = logging.getLogger("sameface")
SAFE = {"X-Content-Type-Options": "nosniff"}
FOREVER = {**SAFE, "Cache-Control": "private, max-age=31536000, immutable"}
FRESH = {**SAFE, "Cache-Control": "no-store"}


class Refused(Exception):
    """A request that is answered with a status of its own, and one sentence."""

    def __init__(self, status: int, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.status, self.field = status, field


def missing(sentence: str) -> Refused:
    """What is asked for is not there."""
    return Refused(404, sentence)


def forbidden(sentence: str) -> Refused:
    """It may not be done from here."""
    return Refused(403, sentence)


@contextmanager
def about(field: str) -> Iterator[None]:
    """What the block refuses is about this field of the request."""
    try:
        yield
    except (Refused, UserError) as error:
        error.field = error.field or field
        raise


async def answered(desk: Desk, route: Route, request: Request) -> Response:
    """The answer to a request; the handler runs in a thread."""
    try:
        if strange := stranger(request.headers, desk.host.remote()):
            raise Refused(403, strange)
        if not admitted(desk.host, desk.token, request.headers, request.cookies, request.query_params):
            raise Refused(401, "Log in to the webui first, or load its page again.")
        raw = await _raw(request, route) if route.body else b""
        query = {name: request.query_params[name] for name in route.query if name in request.query_params}
        return await run_in_threadpool(_handled, desk, route, dict(request.path_params), query, raw)
    except Exception as error:
        return refusal(error, route.path)


def _handled(desk: Desk, route: Route, path: dict[str, str], query: dict[str, str], raw: bytes) -> Response:
    try:
        found = route.answer(desk, Call(path, query, body_of(route, raw)))
        return found if isinstance(found, Response) else in_json(found)
    except Exception as error:
        return refusal(error, route.path)


async def _raw(request: Request, route: Route) -> bytes:
    """The bytes of a body; no more of them are read than the route takes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # another site's page cannot send this one without asking first
        raise Refused(415, "Send JSON, with the Content-Type application/json.")
    length = request.headers.get("content-length", "")
    too_much = Refused(413, f"This is more than the {route.limit // MB} MB that can be taken at once.")
    if length.isdecimal() and int(length) > route.limit:
        raise too_much
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > route.limit:
            raise too_much
        parts.append(part)
    return b"".join(parts)


def body_of(route: Route, raw: bytes) -> Any:
    """The dataclass of a route from the bytes of a body.

    Raises:
        Refused: it is no JSON.
        UserError: an unknown, missing or unfit field.
    """
    if route.body is None:
        return None
    try:
        values = json.loads(raw or b"{}")
    except (ValueError, RecursionError):  # the latter by brackets in thousands of brackets
        raise Refused(400, "The body is no JSON.") from None
    return settings.from_dict(route.body, values, "the request")


def refusal(error: Exception, where: str) -> Response:
    """The answer to a request that failed.

    Args:
        error: what was raised.
        where: the route, for the log.
    """
    if isinstance(error, (Refused, UserError)):
        status = error.status if isinstance(error, Refused) else 400
        return in_json({"error": str(error), **({"field": error.field} if error.field else {})}, status)
    LOG.error("%s failed", where, exc_info=error)
    said = about_missing(error) if isinstance(error, ModuleNotFoundError) else None
    if isinstance(error, (ImportError, OSError)) and not said:
        why = " ".join(str(error).split())[:300].rstrip(".")
        what = "A package cannot be loaded" if isinstance(error, ImportError) else "A file cannot be used"
        said = f"{what} ({why}); the Doctor says more."
    return in_json({"error": said or "This failed inside SameFace; the webui's log has the details."}, 500)


def in_json(value: Any, status: int = 200) -> Response:
    """Plain values as an answer. Numbers that are not finite become null."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value))
    return Response(text, status, FRESH, "application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def picture(content: bytes, media: str = "image/jpeg") -> Response:
    """A picture that never changes, because its address holds its digest."""
    return Response(content, 200, FOREVER, media)


def file(path: Path, media: str, headers: Mapping[str, str] | None = None) -> Response:
    """A file as it lies there. It may be written anew under its name, so a browser asks each time, unless `headers` say
    otherwise.

    Raises:
        Refused: it is not there.
    """
    if not path.is_file():
        raise missing(f"There is no {path.name} here (any more).")
    said = {**SAFE, "Cache-Control": "private, no-cache", **(headers or {})}
    return FileResponse(path, headers=said, media_type=media)
