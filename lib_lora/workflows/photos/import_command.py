"""Runs the command that takes photos into a character's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora.character.store import load
from lib_lora.errors import UserError, plural, typed
from lib_lora.photos.audit.merged_sentences import Sentence, merged, of_error
from lib_lora.photos.importing.photo_import import Imported, Progress, take_in
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    from lib_lora.workflows.photos.new_character import NewCharacter

AGAIN = "wait a moment and try again"


def import_into(
    root: Path,
    name: str,
    sources: Sequence[Path],
    progress: Progress | None = None,
    patience: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
) -> CommandResult:
    """Take photos into the folder of a character that is there; see `take_in`.

    Captions that are missing are not written: the next run knows what to say of a photo without one. Ctrl+C ends it
    as `stop` does; what was taken in stays.

    Args:
        root: the data folder.
        name: of the character.
        sources: files, folders and zips.
        progress: see `take_in`.
        patience: seconds to wait for another process at work on the photos, before each picture.
        stop: see `take_in`.

    Raises:
        UserError: no such character, another process is at work on its photos, or its folder cannot be written.
    """
    folder = Workspace(root).character(name)
    load(folder)
    imported = Imported()
    try:
        take_in(sources, folder, progress, stop, lambda: only_process(folder.path, AGAIN, patience), result=imported)
    except KeyboardInterrupt:
        imported.stopped = True
    except UserError as error:
        if not imported.added:
            raise
        raise UserError(
            f"{error} Before that, {plural(len(imported.added), 'photo')} had been added.", code=error.code
        ) from error
    return CommandResult(import_text(imported), _values(imported), bool(imported.added or imported.known))


def make(root: Path, who: NewCharacter, sources: Sequence[Path], progress: Progress | None = None) -> CommandResult:
    """Make a character, with photos if there are any; see `new_character` for the arguments.

    Raises:
        UserError: as `new_character`.
    """
    from lib_lora.captions.trigger_words import check, propose
    from lib_lora.workflows.photos.caption_commands import taken_words
    from lib_lora.workflows.photos.new_character import new_character  # not needed where photos are only taken in

    already = Workspace(root).character(who.name).file.exists()
    folder, imported = new_character(root, who, sources, progress)
    character = load(folder)
    taken = taken_words([], root, but=folder)
    found = check(character.trigger, taken)
    lines = [import_text(imported)] if sources else []
    there = f"{character.name} was there already, with this trigger and class; it is in {folder.path}"
    lines.append(there if already else f"{character.name} is in {folder.path}")
    lines += [f"The trigger word: {problem}" for problem in found.problems]
    if found.problems:
        others = ", ".join(one.word for one in propose(who.name, taken, 3))
        lines.append(f"These will do: {others}. To change it, change 'trigger' in {folder.file}, and the captions.")
    if not sources:
        lines.append(f"Add photos with: {typed('import', character.name)} PHOTOS")
    else:
        lines.append(f"See what is wrong with the photos: {typed('audit', character.name)}")
    if character.consent is None:
        lines.append(f"Before training, declare why the face may be used: {typed('consent', character.name)} KIND")
    values = {"folder": str(folder.path), "was_there": already, "trigger_problems": found.problems, **_values(imported)}
    return CommandResult("\n".join(lines), values, not sources or bool(imported.added or imported.known))


def import_text(imported: Imported) -> str:
    """What came of an import, for people."""
    lines = [f"{imported.counted()}."]
    lines += merged(
        Sentence(name, "split", f"{name} is a sheet of four; its pictures are imported separately.")
        for name in imported.split
    )
    lines += merged(map(of_error, imported.twice))
    lines += [f"Left out: {sentence}" for sentence in merged(map(of_error, imported.skipped))]
    lines += ["Stopped before the rest was read; import the same again to continue."] * imported.stopped
    return "\n".join(lines)


def _values(imported: Imported) -> dict[str, Any]:
    return {
        "added": [path.name for path in imported.added],
        "known": imported.known,
        "split": imported.split,
        "twice": [*map(str, imported.twice)],
        "skipped": [*map(str, imported.skipped)],
        "skipped_codes": [error.code for error in imported.skipped],
        "stopped": imported.stopped,
    }
