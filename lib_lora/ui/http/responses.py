"""Calls the handler of a request and turns what it returns or raises into an answer: JSON or a file.

The body of a request is read here, within limits, and becomes the dataclass of its route. Nothing that goes wrong
shows a stack trace to the sender; the log has it.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response
from starlette.requests import ClientDisconnect

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import UserError, brief
from lib_lora.files import explained
from lib_lora.setup.environment import about_missing
from lib_lora.ui.http.request_bodies import Full, StreamedBody, TooLarge
from lib_lora.ui.http.request_context import MB, Call, RequestContext, Route
from lib_lora.ui.http.route_access import admitted, stranger
from lib_lora.workspace.workspace import Workspace

LOG = logging.getLogger("sameface")
SAFE = {"X-Content-Type-Options": "nosniff"}
FOREVER = {**SAFE, "Cache-Control": "private, max-age=31536000, immutable"}
FRESH = {**SAFE, "Cache-Control": "no-store"}
_SPARE = 64 * MB  # of the disk that an upload leaves free
_BLOCK = 1 << 18  # bytes that are handled at once
_OLD = 24 * 3600.0  # seconds; another page on the same data folder may still be at a younger one


_CODES = {
    400: "request-invalid",
    401: "login-required",
    403: "forbidden",
    404: "not-found",
    409: "conflict",
    413: "request-too-large",
    415: "not-json",
    428: "confirmation-required",
    429: "busy",
    507: "disk-full",
}


class Refused(Exception):
    """A request that is answered with a status of its own, and one sentence.

    Attributes:
        code: what kind of fault it is, as `UserError.code`; that of the status where none is given.
        field: of the request that is wrong; empty where no particular one is wrong.
    """

    def __init__(self, status: int, sentence: str, field: str = "", code: str = "") -> None:
        super().__init__(sentence)
        self.status, self.field, self.code = status, field, code or _CODES[status]


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


async def answered(context: RequestContext, route: Route, request: Request) -> Response:
    """The answer to a request; the handler runs in a thread."""
    given: list[Any] = [request.path_params, dict(request.query_params)]
    try:
        if strange := stranger(request.headers, context.host.remote()):
            raise Refused(403, strange)
        if not admitted(context.host, context.token, request.headers, request.cookies, request.query_params):
            raise Refused(401, "Log in to the webui first, or load its page again.")
        query = {name: request.query_params[name] for name in route.query if name in request.query_params}
        call = Call(dict(request.path_params), query)
        length = _announced(request, route) if route.body else 0
        if route.first:
            await run_in_threadpool(route.first, context, call)
        with ExitStack() as held:
            if route.file:
                held.enter_context(context.uploads.place(length))
                raw, file = await _streamed(request, route, held.enter_context(_place(context.root, length)))
            else:
                raw, file = (await _raw(request, route) if route.body else b""), None
            return await run_in_threadpool(_handled, context, route, call, raw, file, given)
    except Exception as error:
        return refusal(error, route.path, given)


def _handled(
    context: RequestContext, route: Route, call: Call, raw: bytes, file: Path | None, given: list[Any]
) -> Response:
    try:
        if route.body:
            given.append(values := values_of(raw))
            call = replace(call, body=typed_settings.from_dict(route.body, values, "the request"), file=file)
        found = route.answer(context, call)
        return found if isinstance(found, Response) else in_json(found)
    except Exception as error:
        return refusal(error, route.path, given)


def _announced(request: Request, route: Route) -> int:
    """The bytes that a body will have; the most that the route takes where it does not say.

    Raises:
        Refused: it is no JSON, or too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # another site's page cannot send this one without asking first
        raise Refused(415, "Send JSON, with the Content-Type application/json.")
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or len(length) > 15:
        return route.limit
    if int(length) > route.limit:
        raise _too_much(route)
    return int(length)


async def _raw(request: Request, route: Route) -> bytes:
    """The bytes of a body; no more of them are read than the route takes."""
    return b"".join([part async for part in _parts(request, route)])


async def _parts(request: Request, route: Route) -> AsyncIterator[bytes]:
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > route.limit:
            raise _too_much(route)
        yield part


async def _streamed(request: Request, route: Route, folder: Path) -> tuple[bytes, Path | None]:
    """A body without its file, and the file, which lies in `folder`; None where it came empty, or not at all."""
    path, waiting = folder / "file", bytearray()
    with explained(path), open(path, "wb") as stream:
        parted = StreamedBody(route.file, stream, route.limit * 3 // 4)
        async for part in _parts(request, route):
            waiting += part
            if len(waiting) >= _BLOCK:
                await run_in_threadpool(parted.feed, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(parted.feed, bytes(waiting))
    return bytes(parted.rest), path if path.stat().st_size else None


@contextmanager
def _place(root: Path, size: int) -> Iterator[Path]:
    """A folder for an upload of `size` bytes, while the block runs."""
    home = Workspace(root).uploads  # the system's own place for such files may be memory
    with explained(home):
        file_permissions.make_folder(home)
        if shutil.disk_usage(home).free < size + _SPARE:
            raise Refused(507, f"There is not enough room for this on the disk of {root}; free some space.")
        folder = Path(tempfile.mkdtemp(dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path) -> None:
    """Delete the uploads that a process has left which was killed."""
    with suppress(OSError):
        for folder in (Workspace(root).uploads).iterdir():
            if time.time() - folder.stat().st_mtime > _OLD:
                shutil.rmtree(folder, ignore_errors=True)


def _too_much(route: Route) -> Refused:
    return Refused(413, f"This is more than the limit of {route.limit // MB} MB at once.")


def values_of(raw: bytes) -> Any:
    """Plain values from the bytes of a body.

    Raises:
        Refused: it is no JSON.
    """
    try:
        return json.loads(raw or b"{}")
    except (ValueError, RecursionError):  # the latter by brackets in thousands of brackets
        raise Refused(400, "The body is not valid JSON.") from None


def refusal(error: Exception, where: str, given: Any = None) -> Response:
    """The answer to a request that failed.

    Args:
        error: what was raised.
        where: the route, for the log.
        given: plain values of the request, which no sentence should repeat at length.
    """
    if isinstance(error, Full):
        error = Refused(429, "Other photos are being uploaded; send this again in a moment.")
    if isinstance(error, (Refused, UserError)):
        status = error.status if isinstance(error, Refused) else 413 if isinstance(error, TooLarge) else 400
        texts = [*_texts(given)]
        about_field = {"field": brief(error.field, texts)} if error.field else {}
        return in_json({"error": brief(str(error), texts), "code": error.code, **about_field}, status)
    if isinstance(error, ClientDisconnect):  # by the browser, or because it was too slow
        LOG.warning("%s: the connection ended, or was too slow, before all was sent.", where)
        ended = in_json({"error": "The connection was too slow.", "code": "connection-slow"}, 408)
        ended.headers["Connection"] = "close"
        return ended
    LOG.error("%s failed\n%s", where, _traced(error, [*_texts(given)]))
    said = about_missing(error) if isinstance(error, ModuleNotFoundError) else None
    if isinstance(error, (ImportError, OSError)) and not said:
        why = brief(" ".join(str(error).split())[:300].rstrip("."), _texts(given))
        what = "A package cannot be loaded" if isinstance(error, ImportError) else "A file cannot be used"
        said = f"{what} ({why}); the Doctor says more."
    code = "package-unusable" if isinstance(error, ImportError) else "file-inaccessible" if said else "internal-error"
    return in_json(
        {"error": said or "This failed inside SameFace; the webui's log has the details.", "code": code}, 500
    )


def _texts(value: Any) -> Iterator[str]:
    """Every text, and every number as digits, in plain values."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str) or (isinstance(value, int) and abs(value) > 1 << 64):
        yield str(value)


def _traced(error: BaseException, given: Iterable[str]) -> str:
    """A stack trace for the log, what caused it first; what an exception says is cut as any sentence is."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    begin = f"{_traced(before, given)}\n" if before else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{begin}Traceback (most recent call last):\n{frames}{type(error).__name__}: {brief(str(error), given)}"


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
    """A file as it lies there. It may be rewritten under its name, so a browser asks each time, unless `headers` say
    otherwise.

    Raises:
        Refused: it is not there.
    """
    if not path.is_file():
        raise missing(f"There is no {path.name} here.")
    said = {**SAFE, "Cache-Control": "private, no-cache", **(headers or {})}
    return FileResponse(path, headers=said, media_type=media)
