"""Answers the routes of a production's files: its pictures, the page with its numbers, an archive of what is kept."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi.responses import Response, StreamingResponse

from lib_lora.files import opened, slug
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.http.responses import FRESH, file
from lib_lora.ui.routes.character.photo_routes import shrunk
from lib_lora.ui.routes.pictures.grid_routes import POLICY
from lib_lora.ui.routes.pictures.production_routes import folder_name, production_of
from lib_lora.ui.routes.train.run_routes import picture
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    from lib_lora.content_credentials.certificates import SigningIdentity

_SMALL = 320  # pixels of the longer side
_BLOCK = 1 << 20


def routes() -> list[Route]:
    """The routes for its files."""
    whole = "/characters/{slug}/productions/{production}"
    return [
        get(f"{whole}/pictures/{{name}}", painted_picture, "small"),
        get(f"{whole}/production.html", page),
        get(f"{whole}/pictures.zip", archive, "signed"),
    ]


def painted_picture(context: RequestContext, call: Call) -> Response:
    """A picture of a production; with `small=1`, at up to 320 pixels."""
    _, one = production_of(context, call)
    path = paths.picture_in(one.pictures, call.path["name"])
    return shrunk(path, _SMALL) if "small" in call.query else picture(path)


def page(context: RequestContext, call: Call) -> Response:
    """The numbers of a production as one page with plots, which needs no scripts and is not allowed to run any."""
    from lib_lora.workflows.produce.production_page import write_page
    from lib_lora.workflows.produce.production_stats import stats_of

    folder, one = production_of(context, call)
    path = write_page(one.path, f"{folder_name(folder)}: production {one.id}", stats_of(one.progress()))
    return file(path, "text/html; charset=utf-8", {"Content-Security-Policy": POLICY})


def archive(context: RequestContext, call: Call) -> Response:
    """The pictures that are kept, as a zip: with names, captions, a table (CSV and JSON) and a contact sheet. With
    `signed=1` the pictures are signed (C2PA), with the user's certificate if there is one in the data folder, otherwise
    with a home-made one."""
    from lib_lora.workflows.produce.production_export import exported

    folder, one = production_of(context, call)
    name = folder_name(folder)
    identity = _identity(Workspace(context.root)) if "signed" in call.query else None
    files = exported(one, name, one.progress().kept, identity)
    first = next(files)  # so that what cannot be exported is an answer, and no broken archive
    said = {**FRESH, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{slug(name)}-{one.id}.zip')}"}
    return StreamingResponse(zipped(_joined(first, files)), 200, said, "application/zip")


def _identity(workspace: Workspace) -> SigningIdentity:
    from lib_lora.content_credentials import certificates, signing

    signing.check_there()
    own = workspace.own_certificate
    return certificates.own(own) if own.is_file() else certificates.home_made(workspace.signing_certificate)


def _joined(
    first: tuple[str, Path | bytes], rest: Iterable[tuple[str, Path | bytes]]
) -> Iterator[tuple[str, Path | bytes]]:
    yield first
    yield from rest


def zipped(files: Iterable[tuple[str, Path | bytes]]) -> Iterator[bytes]:
    """The bytes of an archive, made while it is sent, so that neither memory nor disk holds it.

    Args:
        files: each by its name in the archive, as a file on the disk or as bytes. One that is gone is left out.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as made:  # pictures are compressed already
        for name, source in files:
            if isinstance(source, bytes):
                made.writestr(name, source)
                yield sink.taken()
            elif source.is_file():
                with opened(source) as stream, made.open(name, "w") as entry:
                    while block := stream.read(_BLOCK):
                        entry.write(block)
                        yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What `zipfile` writes, until it is taken; it cannot be sought in."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        block = bytes(data)  # type: ignore[call-overload]
        self._blocks.append(block)
        return len(block)

    def taken(self) -> bytes:
        """What was written since the last time."""
        found = b"".join(self._blocks)
        self._blocks.clear()
        return found
