"""Answers the routes of characters: creating, changing, deleting, forgetting face data; and trigger words."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lib_lora.character.store import Character, create, declare_consent, load, save, see_adult
from lib_lora.errors import Misfit, UserError
from lib_lora.files import explained
from lib_lora.files import slug as slug_of
from lib_lora.queue.job_types import run_in, together_in
from lib_lora.runs.run_lock import only_process
from lib_lora.training.plan.run_file import load_run
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import Refused
from lib_lora.ui.routes.overview_routes import of_character
from lib_lora.ui.views.page_limits import LETTERS
from lib_lora.workflows.photos import changes
from lib_lora.workflows.photos.forget_faces import forget_faces
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    from lib_lora.queue.queue import Job

PATIENCE = 5.0  # seconds to wait for another process at work on the character


@dataclass(frozen=True)
class CharacterBody:
    """The fields of `character.store.Character`; consent: "fictional", "myself", "consented", or null: not declared."""

    name: str
    trigger: str
    class_word: str
    consent: str | None = None
    traits: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CharacterChange:
    """The fields to change; null leaves a field as it is."""

    consent: str | None = None
    trigger: str | None = None
    class_word: str | None = None
    traits: list[str] | None = None
    notes: str | None = None


@dataclass(frozen=True)
class Deletion:
    """The character's name, typed again as confirmation."""

    name: str


def routes() -> list[Route]:
    """The routes for characters and trigger words."""
    return [
        post("/characters", new, CharacterBody),
        post("/characters/{slug}", change, CharacterChange),
        post("/characters/{slug}/delete", delete, Deletion),
        post("/characters/{slug}/forget_faces", forget),
        get("/triggers", proposed, "name"),
        get("/triggers/check", checked, "word"),
    ]


def new(context: RequestContext, call: Call) -> dict[str, Any]:
    """Create a character; photos are added later."""
    body = call.body
    agreed = None if body.consent is None else declare_consent(body.consent)
    name, trigger, class_word = (" ".join(text.split()) for text in (body.name, body.trigger, body.class_word))
    character = _made(lambda: Character(name, trigger, class_word, agreed, _traits(body.traits)))
    folder = Workspace(context.root).character(name)
    if folder.file.exists():
        sentence = f"There is already a character {load(folder).name}; give this one another name."
        raise Refused(409, sentence, "name", code="character-exists")
    create(context.root, character)
    return of_character(folder)


def _made(make: Callable[[], Character], before: Character | None = None) -> Character:
    try:
        character = make()
    except Misfit as error:
        said = str(error)
        raise UserError(said[0].upper() + said[1:], error.field, code="character-invalid") from error
    except UserError as error:  # of the name, which is to be a folder's
        raise UserError(str(error), "name", code=error.code) from error
    known = _texts(before) if before else []  # stored by an older version, or by a command, which set other limits
    for field_name, text in _texts(character):
        if any(unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t" for one in text):
            raise UserError(
                f"{text[:40]!r} contains control characters; write it again.", field_name, code="text-not-printable"
            )
        if len(text) > LETTERS[field_name] and (field_name, text) not in known:
            raise UserError(
                f"{text[:40]!r}... is too long; up to {LETTERS[field_name]} characters are allowed.",
                field_name,
                code="text-too-long",
            )
    return character


def _texts(character: Character) -> list[tuple[str, str]]:
    texts = [(name, getattr(character, name)) for name in ("name", "trigger", "class_word", "notes")]
    return [*texts, *(("traits", one) for one in character.traits)]


def _traits(given: list[str]) -> list[str]:
    return [" ".join(one.replace(",", " ").split()) for one in given if one.replace(",", " ").strip()]


def change(context: RequestContext, call: Call) -> dict[str, Any]:
    """Change a character; a changed trigger or class word is also changed in its captions."""
    folder, body = paths.character(context, call), call.body
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        before = load(folder)
        after = before
        if body.consent is not None and (before.consent is None or before.consent.kind != body.consent):
            after = replace(after, consent=declare_consent(body.consent))
        trigger, class_word = (
            old if new is None else " ".join(new.split())
            for old, new in ((before.trigger, body.trigger), (before.class_word, body.class_word))
        )
        if class_word != before.class_word:
            see_adult(class_word)
        if body.traits is not None:
            after = replace(after, traits=_traits(body.traits))
        if body.notes is not None:
            after = replace(after, notes=body.notes.strip())
        after = _made(lambda: replace(after, trigger=trigger, class_word=class_word), before)
        if after != before:
            changes.note_character(folder, before, after)
            save(folder, after)
        changes.rename(folder, before, after)
    return of_character(folder)


def delete(context: RequestContext, call: Call) -> dict[str, Any]:
    """Delete a character: its folder moves to `deleted` and can be restored; data computed from the face is erased."""
    folder = paths.character(context, call)
    slug = folder.path.name
    name = slug
    with suppress(UserError):  # one whose file is damaged is named by its folder
        name = load(folder).name
    if call.body.name.strip() not in (name, slug):
        raise Refused(400, f"Type the name {name} to delete this character.", code="name-not-repeated")
    if any(slug in _characters_of(context, job) for job in context.queue.open()):
        sentence = "A job that trains this character waits, runs or is paused; stop it first."
        raise Refused(409, sentence, code="character-has-job")
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        pass
    with suppress(UserError):  # what is damaged may be moved all the same
        forget_faces(folder)
    home = paths.ensure_folder(Workspace(context.root).deleted)
    target = home / f"{slug}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{slug}-{time.strftime('%Y%m%d-%H%M%S')}-{number}")
    with explained(folder.path, "move"):
        folder.path.rename(target)
    return {"moved_to": str(target)}


def _characters_of(context: RequestContext, job: Job) -> set[str]:
    """The folders of the characters that a job needs, by name."""
    found, run = {job.slug}, run_in(job.arguments)
    with suppress(UserError):  # what cannot be read is said when the job begins
        found |= {slug_of(name) for name in together_in(job.arguments)}
        if run is not None:
            trained = load_run(Workspace(context.root).character_at(job.slug).run(run).path)
            found |= {trained.folder_of(photo).path.name for photo in trained.file.photos}
    return found


def forget(context: RequestContext, call: Call) -> dict[str, Any]:
    """Delete everything computed from a character's face: embeddings, templates, thumbnails, the audit's measurements.

    Photos, decisions and the reports of tests stay.
    """
    return {"deleted": len(forget_faces(paths.character(context, call)))}


def proposed(context: RequestContext, call: Call) -> dict[str, Any]:
    """Suggested trigger words that sound like a name."""
    from lib_lora.workflows.photos.caption_commands import propose_triggers

    name = call.query.get("name", "").strip()[:100]
    if not name:
        raise UserError("Give a name for the trigger word to resemble.", code="name-missing")
    return propose_triggers(name, _lora_folders(context), root=context.root).values


def checked(context: RequestContext, call: Call) -> dict[str, Any]:
    """Whether a trigger word is suitable."""
    from lib_lora.workflows.photos.caption_commands import check_trigger

    word = call.query.get("word", "").strip()[:100]
    if not word:
        return {"trigger": "", "tokens": [], "problems": ["Give a trigger word."]}
    return check_trigger(word, _lora_folders(context), context.root).values


def _lora_folders(context: RequestContext) -> list[Any]:
    return [folder for folder in context.host.roots().loras if folder.is_dir()]
