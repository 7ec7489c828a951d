"""Answers the routes of a character's photos: showing and importing them, and deciding on them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from fastapi.responses import Response

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError, brief
from lib_lora.queue.job_types import AuditArguments
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import (
    MB,
    PHOTO_FILE,
    PHOTOS_AT_ONCE,
    Call,
    RequestContext,
    Route,
    get,
    post,
)
from lib_lora.ui.http.responses import missing, picture
from lib_lora.ui.routes.job_routes import job_values, put
from lib_lora.ui.views import imports
from lib_lora.ui.views.character_snapshot import CharacterSnapshot, snapshot_of
from lib_lora.workflows.photos.import_command import import_into

LARGE = 1600  # pixels of the longer side
PATIENCE = 20.0  # seconds to wait for an audit of the same photos
_opening = BoundedSemaphore(PHOTOS_AT_ONCE)


@dataclass(frozen=True)
class NewPhoto:
    """A picture or a zip, in base64."""

    name: str
    data: str


@dataclass(frozen=True)
class FromPath:
    """A file, folder or zip on the webui's own machine."""

    path: str


def routes() -> list[Route]:
    """The routes for photos."""
    return [
        get("/characters/{slug}/photos", read_photos),
        post(
            "/characters/{slug}/photos",
            add,
            NewPhoto,
            PHOTO_FILE * 4 // 3 + MB,
            "data",
            paths.character,
        ),
        post("/characters/{slug}/photos/from_path", add_from_path, FromPath),
        get("/characters/{slug}/photos/{sha256}/thumbnail", thumbnail),
        get("/characters/{slug}/photos/{sha256}/picture", large),
        post("/characters/{slug}/audit", audit, AuditArguments),
    ]


def read_photos(context: RequestContext, call: Call) -> dict[str, Any]:
    """All photos with the findings of the last audit."""
    snapshot = snapshot_of(paths.character(context, call))
    busy = any(job.slug == snapshot.folder.path.name and job.kind == "audit" for job in context.queue.open())
    audited = snapshot.audit
    set_values: Mapping[str, Any] = {
        "headline": snapshot.trouble,
        "counts": "",
        "messages": {},
        "tone": "none",
        "findings": [],
        "missing": [],
        "coverage": {},
        "people": [],
    }
    if audited:
        set_values = audited.shown
    wanted = ("headline", "counts", "messages", "tone", "findings", "missing", "coverage", "people")
    known = {one.file: one.shown for one in audited.photos} if audited else {}
    return {
        "audited": audited is not None,
        "busy": busy,
        **{key: set_values.get(key, {}) for key in wanted},  # an earlier version kept no messages
        "photos": [
            {**(known.get(file) or _unknown(snapshot, file)), "caption": snapshot.texts.get(file, "")}
            for file in snapshot.digests
        ],
    }


def _unknown(snapshot: CharacterSnapshot, file: str) -> dict[str, Any]:
    dropped = snapshot.digests[file] in snapshot.dropped
    return {
        "file": file,
        "sha256": snapshot.digests[file],
        "tone": "none",
        "tones": {"keep": "good", "drop": "none", "undecided": "none"},
        "word": "left out by you" if dropped else "new",
        "sentence": "",
        "findings": [],
        "messages": [],
        "decision": "drop" if dropped else None,
        "proposed": False,
        "used": file in snapshot.used,
        "width": 0,
        "height": 0,
    }


def add(context: RequestContext, call: Call) -> dict[str, Any]:
    """Import a picture, or a zip of pictures."""
    snapshot = snapshot_of(paths.character(context, call))
    return _taken_in(context, snapshot, sent(call))


def sent(call: Call) -> Path:
    """The file of a request, which lies on disk until it is answered, under the name that the request gives it.

    Raises:
        UserError: it is empty.
    """
    if call.file is None:
        raise UserError(f"{call.body.name} is empty.", code="file-empty", file=call.body.name)
    return call.file.replace(call.file.with_name(plain_name(call.body.name)))


def _taken_in(context: RequestContext, snapshot: CharacterSnapshot, source: Path) -> dict[str, Any]:
    with imports.under_way(snapshot.folder.path, source.name) as one:
        values = import_into(
            context.root, snapshot.character.name, [source], one.seen, patience=PATIENCE, stop=one.stop.is_set
        ).values
    sentences = ("split", "twice", "skipped")  # with the names of files in a zip, which may be of any length
    return {key: [*map(_shortened, value)] if key in sentences else value for key, value in values.items()}


def _shortened(sentence: str) -> str:
    return brief(re.sub(r"(\S{100})\S+(\S{80})", r"\1 ... \2", sentence), [sentence] if len(sentence) > 500 else [])


def plain_name(name: str) -> str:
    """A file's name from what a browser, or anybody, calls it: no folders, nothing that a system takes amiss."""
    last = re.split(r"[/\\]", name)[-1]
    safe = re.sub(r'[<>:"|?*\x00-\x1f\x7f\ud800-\udfff]', "-", last).strip(" .")
    stem, dot, suffix = safe.rpartition(".")
    stem, suffix = (stem, suffix[:10]) if dot else (safe, "")
    while len(stem.encode("utf-8")) > 180:
        stem = stem[:-1]
    return f"{stem or 'photo'}{dot}{suffix}"


def add_from_path(context: RequestContext, call: Call) -> dict[str, Any]:
    """Import the pictures of a file, folder or zip on the webui's own machine."""
    snapshot = snapshot_of(paths.character(context, call))
    source = paths.free_path(context.host, call.body.path, "a folder of photos")
    return _taken_in(context, snapshot, source)


def _photo(context: RequestContext, call: Call) -> tuple[CharacterSnapshot, Path, str]:
    digest = paths.digest(call.path["sha256"])
    snapshot = snapshot_of(paths.character(context, call))
    path = snapshot.file_of(digest)
    if path is None:
        raise missing("There is no such photo.")
    return snapshot, path, digest


def thumbnail(context: RequestContext, call: Call) -> Response:
    """A small version of a photo."""
    from lib_lora.workflows.photos import thumbnails

    snapshot, path, digest = _photo(context, call)
    with _opening:
        found = thumbnails.of(snapshot.folder, path.name, digest)
    if found is None:
        raise missing(f"{path.name} cannot be read; replace or remove it.")
    return picture(found)


def large(context: RequestContext, call: Call) -> Response:
    """A photo at up to 1600 pixels, upright, without EXIF."""
    _, path, _ = _photo(context, call)
    return shrunk(path, LARGE)


def shrunk(path: Path, side: int) -> Response:
    """A picture whose longer side has at most `side` pixels, upright, without EXIF.

    Raises:
        UserError: it cannot be read.
    """
    with _opening:
        image = open_photo(path)
        image.thumbnail((side, side))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
    return picture(stream.getvalue())


def audit(context: RequestContext, call: Call) -> dict[str, Any]:
    """Audit the photos as a job, and record decisions on some of them."""
    folder = paths.character(context, call)
    body = call.body
    known = snapshot_of(folder).digests
    for file in (*body.keep, *body.drop, *body.undecided):
        if file not in known:
            raise missing(f"There is no photo {file} of this character.")
    return job_values(context, put(context, folder, body))
