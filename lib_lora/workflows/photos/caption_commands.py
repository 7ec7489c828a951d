"""Runs the commands about words: a character's captions, and trigger words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lib_lora.captions import caption_words, editing, phrases, trigger_words
from lib_lora.captions.caption_check import Problem, problems
from lib_lora.captions.editing import Changed
from lib_lora.captions.trigger_words import Trigger
from lib_lora.character import caption_files
from lib_lora.character.store import Character, load
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.lora.file.trigger_notes import answers_to
from lib_lora.photos.audit.audit_store import photos_to_use
from lib_lora.photos.audit.merged_sentences import Sentence, merged
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workspace.workspace import CharacterFolder, Workspace

WEBUI_FILES = frozenset({".safetensors", ".pt", ".ckpt", ".bin", ".png", ".webp"})  # embeddings are pictures too
_SHOWN = 20  # phrases in the text


@dataclass(frozen=True)
class Edit:
    """One change of captions: what it is in words, and what makes a new caption of an old one."""

    what: str
    change: Callable[[str], str]


def adding(phrase: str, place: int | None = None) -> Edit:
    """See `phrases.add`."""
    where = "" if place is None else f" at {place}"
    return Edit(f"add {phrase!r}{where}", partial(phrases.add, phrase=_phrase(phrase), place=place))


def removing(phrase: str) -> Edit:
    """See `phrases.remove`."""
    return Edit(f"remove {phrase!r}", partial(phrases.remove, phrase=_phrase(phrase)))


def replacing(phrase: str, by: str) -> Edit:
    """See `phrases.replace`."""
    return Edit(f"replace {phrase!r} by {by!r}", partial(phrases.replace, phrase=_phrase(phrase), by=_phrase(by)))


def moving(phrase: str, place: int) -> Edit:
    """See `phrases.move`."""
    return Edit(f"move {phrase!r} to {place}", partial(phrases.move, phrase=_phrase(phrase), place=place))


def caption(
    root: Path, name: str, edit: Edit | None = None, only: Sequence[str] = (), undo: bool = False
) -> CommandResult:
    """Edit the captions of a character's photos, take the last edit back, or only look; then say how they are.

    Args:
        root: the data folder.
        name: of the character.
        edit: the change; None = none.
        only: file names of photos; none = all.
        undo: take the newest change back instead.

    Raises:
        UserError: no such character or photo, nothing to take back, another process is editing, or a file cannot be
            written.
    """
    folder = Workspace(root).character(name)
    character = load(folder)
    changed = None
    if undo or edit:
        with only_process(folder.path, "wait a moment and try again"):
            if undo:
                changed = editing.undo(folder)
            elif edit:
                changed = editing.edit(folder, edit.what, edit.change, set(only) or None)
    return captions_result(
        folder, character, [] if changed is None else [_said(changed, undo)], changed, () if changed else only
    )


def captions_result(
    folder: CharacterFolder,
    character: Character,
    lines: list[str],
    changed: Changed | None,
    only: Sequence[str] = (),
) -> CommandResult:
    """How the captions of a character's photos are now.

    Args:
        folder, character: whose.
        lines: what is said first.
        changed: what was done to them; None = nothing.
        only: file names of the photos that are told of; none = all in use.

    Raises:
        UserError: one of `only` is not among the photos.
    """
    there, used = editing.captions_of(folder), {photo.name for photo in photos_to_use(folder)}
    for file in only:
        if file not in {*there.texts, *there.unreadable}:
            raise UserError(f"There is no photo {file} in {folder.photos}.", code="photo-not-found", photo=file)
    captions = {photo: text for photo, text in there.texts.items() if photo in (only or used)}
    counts = phrases.frequency(captions)
    wrong = [
        Problem(photo, "caption-unreadable", {"reason": text})
        for photo, text in there.unreadable.items()
        if not only or photo in only
    ]
    wrong += problems(captions, character)
    lines = list(lines)
    written = sum(bool(text) for text in captions.values())
    if only:
        lines += [f"{photo}: {text or '(no caption)'}" for photo, text in captions.items()]
    else:
        lines.append(f"{len(used)} photo{'' if len(used) == 1 else 's'} in use, {written} with a caption.")
    width = len(str(len(captions)))
    lines += [f"  {count:{width}}  {phrase}" for phrase, count in counts[:_SHOWN]]
    if len(counts) > _SHOWN:
        lines.append(f"  and {len(counts) - _SHOWN} rarer phrases")
    lines += merged(Sentence(one.photo, _key(one, folder), caption_words.sentence(one)) for one in wrong)
    lines += dict.fromkeys(command for one in wrong if (command := caption_words.command(one)))
    values = {
        "captions": captions,
        "phrases": [{"phrase": phrase, "captions": count} for phrase, count in counts],
        "problems": [caption_words.values(problem) for problem in wrong],
        "changed": None if changed is None else asdict(changed),
    }
    return CommandResult("\n".join(lines), values)


def _key(problem: Problem, folder: CharacterFolder) -> tuple[object, ...]:
    """The same for problems of different captions that say the same but for the file's name."""
    reason = problem.details.get("reason", "").replace(str(caption_files.path_of(folder.photos / problem.photo)), "")
    return problem.code, problem.details.get("phrase"), reason


def _said(changed: Changed, undone: bool) -> str:
    done = f"Undone: {changed.what}" if undone else changed.what[0].upper() + changed.what[1:]
    left = f"; left alone, because changed since: {', '.join(changed.left)}" if changed.left else ""
    count = f"{len(changed.files)} caption{'' if len(changed.files) == 1 else 's'}"
    hint = "" if changed.files or undone else " A phrase is what stands between two commas, whole."
    return f"{done}: {count} changed{left}.{hint}"


def _phrase(text: str) -> str:
    """Raises: UserError: `text` is no phrase."""
    if not phrases.split(text):
        raise UserError("The phrase is empty; give the words between two commas in a caption.", code="phrase-empty")
    return text


def check_trigger(word: str, folders: Sequence[Path] = (), root: Path | None = None) -> CommandResult:
    """Whether a trigger word will do.

    Args:
        word: to look at.
        folders: of the webui's LoRAs and embeddings; a word that is the name of one, or that one answers to, is taken.
        root: the data folder; None = its characters' triggers are not asked.

    Raises:
        UserError: a folder cannot be read.
    """
    taken = taken_words(folders, root)
    found = trigger_words.check(word, taken)
    lines = [f"{found.word}: {' + '.join(found.tokens)}"] if found.word.isascii() and found.tokens else []
    lines += found.problems
    if found.problems:
        others = trigger_words.propose(word, taken, 3)
        lines.append(f"These will do: {', '.join(one.word for one in others)}.")
    else:
        lines.append("Nothing speaks against it.")
    return CommandResult("\n".join(lines), _values(found), not found.problems)


def propose_triggers(
    name: str, folders: Sequence[Path] = (), count: int = 5, root: Path | None = None
) -> CommandResult:
    """Trigger words for a character called `name`; see `check_trigger`.

    Raises:
        UserError: a folder cannot be read.
    """
    found = trigger_words.propose(name, taken_words(folders, root), count)
    text = "\n".join(f"{one.word}  ({' + '.join(one.tokens)})" for one in found)
    return CommandResult(text, {"triggers": [_values(one) for one in found]})


def _values(found: Trigger) -> dict[str, Any]:
    return {"trigger": found.word, "tokens": found.tokens, "problems": found.problems}


def taken_words(
    folders: Sequence[Path], root: Path | None = None, but: CharacterFolder | None = None
) -> dict[str, str]:
    """Who answers to a word already, by the word: LoRAs and embeddings in these folders and below, and characters
    (`but` that one).

    Raises:
        UserError: a folder cannot be read.
    """
    found: dict[str, str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder.", code="folder-missing", folder=folder)
        with explained(folder, "read"):
            files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in WEBUI_FILES)
        for path in files:
            found.setdefault(path.stem.casefold(), f"the name of {path.name}")
            for word in answers_to(path):
                found.setdefault(word.casefold(), f"what {path.name} answers to")
    for one in Workspace(root).character_folders() if root else ():
        if one == but:
            continue
        try:
            other = load(one)
        except UserError:
            continue  # another character's damaged file is said where that character is used
        found.setdefault(other.trigger.casefold(), f"the trigger of {other.name}")
    return found
