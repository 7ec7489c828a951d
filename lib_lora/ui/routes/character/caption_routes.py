"""Answers the routes of captions: showing, writing, editing one or many at once, and undoing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.captions import captioner, editing, phrases
from lib_lora.character.caption_files import template
from lib_lora.errors import UserError
from lib_lora.messages.message import Message
from lib_lora.queue.job_types import FillArguments
from lib_lora.runs.run_lock import only_process
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import missing
from lib_lora.ui.routes.character.character_routes import PATIENCE
from lib_lora.ui.routes.job_routes import job_values, put
from lib_lora.ui.views import caption_checks
from lib_lora.ui.views.character_snapshot import snapshot_of
from lib_lora.workspace.file_cache import kept, mark
from lib_lora.workspace.workspace import CharacterFolder, Workspace

_LONGEST = 10_000  # letters
_SHOWN = 200  # phrases
_UNREADABLE = "caption-unreadable"  # the code of `captions.caption_check` for it


@dataclass(frozen=True)
class Caption:
    """The new caption of one photo; empty = none."""

    file: str
    text: str


@dataclass(frozen=True)
class CaptionEdit:
    """An edit of many captions: add, remove, replace (`by` another phrase) or move (to `place`, from 0) a phrase; in
    the captions of the files `only` (None = all)."""

    do: str
    phrase: str
    by: str | None = None
    place: int | None = None
    only: list[str] | None = None


def routes() -> list[Route]:
    """The routes for captions."""
    return [
        get("/characters/{slug}/captions", read_captions),
        post("/characters/{slug}/captions", write, Caption),
        post("/characters/{slug}/captions/edit", edit, CaptionEdit),
        post("/characters/{slug}/captions/undo", undo),
        post("/characters/{slug}/captions/fill", fill, FillArguments),
        get("/captioners", captioners),
    ]


def read_captions(context: RequestContext, call: Call) -> dict[str, Any]:
    """All captions, their phrases, and what is wrong with them."""
    return _view(paths.character(context, call))


def _view(folder: CharacterFolder) -> dict[str, Any]:
    snapshot = snapshot_of(folder)
    found = caption_checks.problems(snapshot, wait=True) or []
    by_file = {file: [Message("{reason}", {"reason": why}, _UNREADABLE)] for file, why in snapshot.unreadable.items()}
    for file, one in found:
        if file:
            by_file.setdefault(file, []).append(one)
    counts = phrases.frequency(snapshot.used_texts)
    last = _last_change(folder)
    return {
        "captions": [
            {
                "file": file,
                "sha256": digest,
                "text": snapshot.texts.get(file, ""),
                "used": file in snapshot.used,
                **_problems(by_file.get(file, [])),
            }
            for file, digest in snapshot.digests.items()
        ],
        "phrases": [{"phrase": phrase, "captions": count} for phrase, count in counts[:_SHOWN]],
        **_problems([one for file, one in found if not file]),
        "plain": template(snapshot.character),
        "can_undo": bool(last),
        "undo_text": last,
    }


def _problems(found: list[Message]) -> dict[str, Any]:
    """As English sentences, and as what the page says in its language."""
    return {"problems": [*map(str, found)], "messages": [one.for_programs() for one in found]}


def _last_change(folder: CharacterFolder) -> str:
    """The newest change that can be undone, in words; empty if there is none."""
    path = folder.path / editing.HISTORY
    return kept(("history", folder.path), mark(path), lambda: _read_last(path)) if path.is_file() else ""


def _read_last(path: Path) -> str:
    for line in reversed(path.read_text(encoding="utf-8", errors="replace").split("\n")):
        try:
            found = json.loads(line)["what"]
        except (ValueError, TypeError, KeyError):
            continue
        if isinstance(found, str):
            return found
    return ""


def _photo(folder: CharacterFolder, files: list[str]) -> None:
    known = snapshot_of(folder).digests
    for file in files:
        if file not in known:
            raise missing(f"There is no photo {file} of this character.")


def write(context: RequestContext, call: Call) -> dict[str, Any]:
    """Write the caption of one photo."""
    folder, body = paths.character(context, call), call.body
    _photo(folder, [body.file])
    text = " ".join(body.text.split())
    if len(text) > _LONGEST or "\0" in text or "\ufffd" in text:
        raise UserError(
            f"The caption of {body.file} is too long or not text; up to {_LONGEST:,} characters are allowed.",
            code="caption-invalid",
            file=body.file,
        )
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        editing.edit(folder, f"write the caption of {body.file}", lambda _: text, {body.file})
    return _view(folder)


def edit(context: RequestContext, call: Call) -> dict[str, Any]:
    """Edit a phrase in many captions."""
    from lib_lora.workflows.photos import caption_commands

    folder, body = paths.character(context, call), call.body
    _photo(folder, body.only or [])
    if max(len(body.phrase), len(body.by or "")) > _LONGEST:
        raise UserError(f"The phrase is too long; up to {_LONGEST:,} characters are allowed.", code="phrase-too-long")
    match body.do:
        case "add":
            wanted = caption_commands.adding(body.phrase, body.place)
        case "remove":
            wanted = caption_commands.removing(body.phrase)
        case "replace":
            wanted = caption_commands.replacing(body.phrase, body.by or "")
        case "move":
            wanted = caption_commands.moving(body.phrase, body.place or 0)
        case _:
            raise UserError(
                f"Captions cannot be edited with {body.do!r}; use add, remove, replace or move.",
                code="caption-edit-unknown",
                edit=body.do,
            )
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        editing.edit(folder, wanted.what, wanted.change, None if body.only is None else set(body.only))
    return _view(folder)


def undo(context: RequestContext, call: Call) -> dict[str, Any]:
    """Undo the newest change of the captions."""
    folder = paths.character(context, call)
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        editing.undo(folder)
    return _view(folder)


def fill(context: RequestContext, call: Call) -> dict[str, Any]:
    """Write captions from what the photos show, as a job."""
    folder, body = paths.character(context, call), call.body
    _photo(folder, body.only)
    return job_values(context, put(context, folder, body))


def captioners(context: RequestContext, _call: Call) -> list[dict[str, Any]]:
    """The available captioners, what each of them requires, and which one is used by default.

    The default is the last of SameFace's own that is ready; the webui's own are used where they are chosen, since what
    they write depends on the webui's settings.
    """
    from lib_lora.clip.clip_model import find_weights

    found: list[dict[str, Any]] = [{"name": "", "text": captioner.OWN[""], "ready": True, "why": ""}]
    of_host = context.host.captioners()
    found += [{"name": one.name, "text": one.text, "ready": not one.why, "why": one.why} for one in of_host]
    home = Path.home() / ".cache" / "clip"
    why = (
        f"Put OpenAI's file ViT-L-14.pt (0.9 GB) into {home}: in A1111, one click on Interrogate CLIP in img2img does "
        "it. Or name a file that you have in the variable SAMEFACE_CLIP before the start."
    )
    try:
        ready = find_weights() is not None
    except UserError as error:
        ready, why = False, str(error)
    why = "" if ready else why
    found.append({"name": "clip", "text": captioner.OWN["clip"], "ready": ready, "why": why})
    blip = Workspace(context.root).blip
    ready = (blip / "config.json").is_file()
    why = (
        ""
        if ready
        else "Put the model Salesforce/blip-image-captioning-base (1 GB: config.json, vocab.txt or tokenizer.json, and "
        f"model.safetensors or pytorch_model.bin) into {blip}; nothing is downloaded by itself."
    )
    found.append({"name": "blip:blip", "text": captioner.OWN["blip:blip"], "ready": ready, "why": why})
    others = {one.name for one in of_host}
    default = [one["name"] for one in found if one["ready"] and one["name"] not in others][-1]
    return [{**one, "default": one["name"] == default} for one in found]
