"""Reads the page's ES modules once for this process, and serves each at an address that contains its digest.

The address of a module is ``<PREFIX>/static/<digest of all modules>/<path>``, so a relative import stays within one
version, and an extension that was updated while the webui runs continues with the modules that match its loaded code.

They are the same for everybody and hold no secret: a script that a browser imports cannot carry the page's token, so
none is asked for. `access_middleware` stands in front of the standalone page, and lets in nobody unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache

from fastapi import APIRouter
from fastapi.responses import Response

from lib_lora.errors import UserError
from lib_lora.setup.environment import bundled
from lib_lora.ui.http.request_context import PREFIX
from lib_lora.ui.http.responses import missing, refusal

_FOLDER = "javascript/tab"
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",  # no other site learns from it that SameFace runs here
}


@cache
def contents() -> dict[str, bytes]:
    """Every module by its path below the folder, as it was at the first call.

    Raises:
        UserError: they are not there.
    """
    folder = bundled(_FOLDER)
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.js"))}
    if "main.js" not in found:
        raise UserError(
            f"The page's scripts are missing from {folder}; install SameFace again.",
            code="page-files-missing",
            folder=folder,
        )
    return found


@cache
def digest() -> str:
    """The digest of all modules, which is part of their addresses."""
    return digest_of_modules(contents())


def digest_of_modules(modules: Mapping[str, bytes]) -> str:
    """The digest of some modules by their paths, 16 hexadecimal digits."""
    found = hashlib.sha256()
    for path, content in modules.items():
        found.update(f"{path}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:16]


def address() -> str:
    """Below which the modules lie, with a slash at the end."""
    return f"{PREFIX}/static/{digest()}/"


def router() -> APIRouter:
    """The route that serves them; it stands before the others, which it must not wait for."""
    made = APIRouter(prefix=PREFIX)
    made.add_api_route(
        "/static/{version}/{path:path}", _module, methods=["GET"], include_in_schema=False, response_model=None
    )
    return made


def _module(version: str, path: str) -> Response:
    content = contents().get(path) if version == digest() else None
    if content is None:
        return refusal(missing("There is no such script; reload the page."), "/static/{version}/{path}")
    return Response(content, media_type="text/javascript", headers=_HEADERS)
