"""Answers the routes that undo changes to a character, remove photos, and restore deleted characters."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.files import explained, names
from lib_lora.queue.job_types import AuditArguments
from lib_lora.runs.run_lock import only_process
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import Refused, missing
from lib_lora.ui.routes import job_routes
from lib_lora.ui.routes.character.character_routes import PATIENCE
from lib_lora.ui.routes.overview_routes import is_trained_now, of_character
from lib_lora.ui.views.character_snapshot import snapshot_of
from lib_lora.workflows.photos import changes
from lib_lora.workspace.workspace import CharacterFolder, Workspace

_AGAIN = "wait a moment and try again"


@dataclass(frozen=True)
class Undo:
    """The change to undo: the `t` of the state's `undo`; null for whichever is the newest."""

    t: float | None = None


@dataclass(frozen=True)
class Removal:
    """File names of photos."""

    files: list[str]


@dataclass(frozen=True)
class Return:
    """The folder's name, as in the list."""

    folder: str


def routes() -> list[Route]:
    """The routes for undoing and restoring."""
    return [
        post("/characters/{slug}/undo", undo, Undo),
        post("/characters/{slug}/photos/remove", remove, Removal),
        get("/deleted", deleted),
        post("/deleted/bring_back", bring_back, Return),
    ]


def undo(context: RequestContext, call: Call) -> dict[str, Any]:
    """Undo the newest change to a character: decisions on photos, removed photos, its words, consent."""
    folder = paths.character(context, call)
    with only_process(folder.path, _AGAIN, PATIENCE):
        change = changes.undo(folder, at=call.body.t)
    if change.kind in changes.PHOTOS:
        _audit_again(context, folder)
    return {
        "undone": change.what,
        "kind": change.kind,
        "character": of_character(folder, is_trained_now(folder, context.queue.open())),
    }


def remove(context: RequestContext, call: Call) -> dict[str, Any]:
    """Move photos out of the folder of photos, into `removed` beside it; this can be undone."""
    folder = paths.character(context, call)
    known = snapshot_of(folder).digests
    for file in call.body.files:
        if file not in known:
            raise missing(f"There is no photo {file} of this character.")
    if not call.body.files:
        raise UserError("Say which photos to remove.", code="no-photo-named")
    with only_process(folder.path, _AGAIN, PATIENCE):
        changes.remove(folder, list(dict.fromkeys(call.body.files)))
    _audit_again(context, folder)
    return of_character(folder, is_trained_now(folder, context.queue.open()))


def _audit_again(context: RequestContext, folder: CharacterFolder) -> None:
    """What was said of the set no longer holds."""
    if snapshot_of(folder).digests:
        job_routes.put(context, folder, AuditArguments())


def deleted(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """Deleted characters, newest first."""
    found = []
    home = Workspace(context.root).deleted
    for name in names(home):
        with suppress(UserError):  # what is no character, or damaged, is brought back by hand
            character = load(CharacterFolder(home / name))
            when = re.search(r"([0-9]{8})-([0-9]{6})(?:-[0-9]+)?$", name)
            found.append({"folder": name, "name": character.name, "when": " ".join(when.groups()) if when else ""})
    return sorted(found, key=lambda one: one["when"], reverse=True)


def bring_back(context: RequestContext, call: Call) -> dict[str, Any]:
    """Restore a deleted character."""
    home = Workspace(context.root).deleted
    if call.body.folder not in names(home):
        raise missing("There is no such deleted character.")
    source = home / call.body.folder
    name = load(CharacterFolder(source)).name
    target = Workspace(context.root).character(name)
    if target.path.exists():
        sentence = f"There is already a character {name}; delete or rename that one first."
        raise Refused(409, sentence, code="character-exists")
    with explained(target.path, "move"):
        source.rename(target.path)
    return of_character(target)
