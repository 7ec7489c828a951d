"""Writes captions from what was measured of the photos, and from what a captioner sees in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from lib_lora.captions import editing, phrases, slots
from lib_lora.captions.captioner import Captioner
from lib_lora.captions.photo_facts import PhotoFacts
from lib_lora.character import caption_files
from lib_lora.character.photo_files import open_photo
from lib_lora.character.store import Character, load
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workflows.photos.audit_photos import PATIENCE, audit_photos
from lib_lora.workflows.photos.caption_commands import captions_result
from lib_lora.workspace.workspace import Workspace


def fill(
    root: Path,
    name: str,
    captioner: Captioner | None = None,
    rewrite: bool = False,
    only: Sequence[str] = (),
    engine: FaceEngine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CommandResult:
    """Write the captions of photos that have none, or only the plain one that was written for want of a better.

    What all photos share is named too: output preservation needs captions that say more than the trigger word
    (`docs/quality.md`). The way back is the same as for every other edit of captions.

    Args:
        root: the data folder.
        name: of the character.
        captioner: adds what it sees; None = only what was measured.
        rewrite: also the captions that the user, or an earlier call, has written.
        only: file names of photos; none = all.
        engine: None = the default one.
        progress: is called with the number of photos done, and of all.

    Raises:
        UserError: no such character or photo, another process is at work on it, the captioner fails (captions of
            photos that it had seen by then are written), or a file cannot be written.
    """
    folder = Workspace(root).character(name)
    character = load(folder)
    _, audit = audit_photos(root, name, engine=engine)
    facts = {item.photo.file: item.photo.facts for item in audit.photos if item.used or item.photo.file in only}
    for file in only:
        if file not in facts:
            raise UserError(f"There is no photo {file} in {folder.photos}.", code="photo-not-found", photo=file)
    with only_process(folder.path, "wait a moment and try again", PATIENCE):
        there = editing.captions_of(folder).texts
        plain = caption_files.template(character)
        chosen = [
            file
            for file, text in there.items()
            if file in facts and (not only or file in only) and (rewrite or text in ("", plain))
        ]
        seen, failure = _seen([folder.photos / file for file in chosen], captioner, progress)
        left = [file for file in chosen if file not in seen]
        new = {file: caption(character, facts[file], phrases_seen) for file, phrases_seen in seen.items()}
        now = editing.captions_of(folder).texts  # a captioner takes its time, and the user may have written meanwhile
        new = {file: text for file, text in new.items() if now.get(file) == there[file] != text}
        what = f"fill with {captioner.id}" if captioner else "fill"
        changed = editing.rewrite(folder, what, new)
    count = len(changed.files)
    if failure:
        raise UserError(
            f"The captioner stopped early; captions written: {count}, photos still without one: {len(left)}. {failure}",
            code="captions-left",
            written=count,
            left=len(left),
        ) from failure
    lines = [f"{count} caption{'' if count == 1 else 's'} written."]
    if not chosen:
        lines.append("Every photo has a caption of its own; to rewrite them, add --rewrite.")
    return captions_result(folder, character, lines, changed)


def caption(character: Character, facts: PhotoFacts, seen: Sequence[str] = ()) -> str:
    """Trigger and class word, the traits if captions should name them, then what the photo shows.

    Args:
        character: whose photo it is.
        facts: of the photo.
        seen: what a captioner says; it goes before the background that was measured.
    """
    measured = slots.words(facts)
    backdrop = slots.backdrop(facts) if facts.face is not None else ""
    before = [word for word in measured if word != backdrop]
    after = [] if any("background" in word for word in seen) or not backdrop else [backdrop]
    text = caption_files.template(character)
    for word in [*before, *seen, *after]:
        text = phrases.add(text, word)
    return text


def _seen(
    photos: Sequence[Path], captioner: Captioner | None, progress: Callable[[int, int], None] | None
) -> tuple[dict[str, list[str]], UserError | None]:
    """What the captioner sees in each photo, and why it gave up before the last one.

    Raises:
        UserError: it failed before it had seen any.
    """
    found: dict[str, list[str]] = {}
    if captioner is None:
        return {photo.name: [] for photo in photos}, None
    asked = False
    for number, photo in enumerate(photos, 1):
        try:
            image = open_photo(photo)
        except UserError:
            found[photo.name] = []
            continue  # the audit says that the photo cannot be read
        try:
            found[photo.name] = _phrases(captioner, photo.name, image)
        except UserError as failure:
            if asked:
                return found, failure
            raise
        asked = True
        if progress:
            progress(number, len(photos))
    return found, None


def _phrases(captioner: Captioner, file: str, image: Image.Image) -> list[str]:
    try:
        return captioner.phrases(image)
    except RuntimeError as error:  # torch's, of memory above all
        raise UserError(
            f"The captioner failed on {file} ({error}); close what uses memory, or leave --captioner out.",
            code="captioner-failed",
            photo=file,
        ) from error
