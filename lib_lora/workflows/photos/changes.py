"""Records changes to a character so that they can be undone: decisions, removed photos, its words, consent.

Each is a line in ``changes.jsonl`` in the character's folder, written before anything is touched; so it outlives a
reloaded page and a crash. Photos that are moved out lie in ``removed/`` there, and nothing is ever deleted.

Whoever calls this holds the character's lock. Captions have a history of their own, `captions.editing`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

from lib_lora import file_permissions, typed_settings
from lib_lora.captions import editing
from lib_lora.character import caption_files
from lib_lora.character.caption_files import template
from lib_lora.character.store import Character, load, save
from lib_lora.errors import UserError, plural
from lib_lora.files import explained, write_text
from lib_lora.photos.audit import audit_store
from lib_lora.photos.audit.audit_store import AuditStore
from lib_lora.workspace.workspace import CharacterFolder

FILE, REMOVED = "changes.jsonl", "removed"
Kind = Literal["decisions", "removed", "character"]
PHOTOS: tuple[Kind, ...] = ("decisions", "removed")
_MOST = 100  # changes that are kept
_FIELDS = {"consent": "declaration", "trigger": "trigger word", "class_word": "class word", "traits": "traits"}


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        t: when, in unix seconds; also by which it is named.
        what: in words, such as "3 photos left out".
        kind: of what.
        before, after: decisions by SHA-256 (None = undecided), where files lay and lie relative to the character's
            folder, or fields of the character.
    """

    t: float
    what: str
    kind: Kind
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def changes(folder: CharacterFolder) -> list[Change]:
    """What can be taken back, the newest last; a line that is damaged is passed over.

    Raises:
        UserError: the file cannot be read.
    """
    path = folder.path / FILE
    if not path.is_file():
        return []
    with explained(path, "read"):
        text = path.read_text(encoding="utf-8", errors="replace")
    found = []
    for line in text.split("\n"):
        try:
            found.append(typed_settings.from_dict(Change, json.loads(line)))
        except (ValueError, RecursionError, UserError):
            continue
    return found


def _note(folder: CharacterFolder, what: str, kind: Kind, before: dict[str, Any], after: dict[str, Any]) -> None:
    known = changes(folder)
    now = max(time.time(), known[-1].t + 0.001 if known else 0.0)
    _write(folder, [*known, Change(round(now, 3), what, kind, before, after)][-_MOST:])


def _write(folder: CharacterFolder, known: Sequence[Change]) -> None:
    write_text(folder.path / FILE, "".join(f"{json.dumps(typed_settings.to_dict(one))}\n" for one in known))


# Noting


def note_decisions(folder: CharacterFolder, before: AuditStore, after: AuditStore) -> None:
    """Note which decisions on photos are about to become others; none, where none does."""
    old, new = before.decisions, after.decisions
    other = [digest for digest in dict.fromkeys((*old, *new)) if old.get(digest) != new.get(digest)]
    if not other:
        return
    kinds = {new.get(digest) for digest in other}
    words = {"drop": "{} left out", "keep": "{} kept", None: "decision on {} withdrawn"}
    what = (words[kinds.pop()] if len(kinds) == 1 else "decisions on {} changed").format(plural(len(other), "photo"))
    _note(folder, what, "decisions", {one: old.get(one) for one in other}, {one: new.get(one) for one in other})


def note_character(folder: CharacterFolder, before: Character, after: Character) -> None:
    """Note which fields of a character are about to become others."""
    old, new = typed_settings.to_dict(before), typed_settings.to_dict(after)
    other = [name for name in new if old[name] != new[name]]
    if other:
        what = " and ".join(_FIELDS.get(name, name) for name in other) + " changed"
        _note(folder, what, "character", {one: old[one] for one in other}, {one: new[one] for one in other})


def remove(folder: CharacterFolder, files: Sequence[str]) -> None:
    """Move photos, with their captions, out of the folder of photos.

    Raises:
        UserError: a file cannot be moved.
    """
    now = time.strftime("%Y%m%d-%H%M%S")
    homes = (f"{REMOVED}/{now}{ending}" for ending in chain([""], (f"-{number}" for number in count(2))))
    home = next(home for home in homes if not (folder.path / home).exists())
    whole = [folder.photos / file for file in files]
    moved = [path for photo in whole for path in (photo, caption_files.path_of(photo)) if path.is_file()]
    before = {path.name: path.relative_to(folder.path).as_posix() for path in moved}
    after = {name: f"{home}/{name}" for name in before}
    _note(folder, f"{plural(len(files), 'photo')} removed", "removed", before, after)
    _move(folder, before, after)


def _move(folder: CharacterFolder, from_: Mapping[str, str], to: Mapping[str, str]) -> None:
    """What is there already, from an earlier try, stays; no other file is ever written over."""
    for name in from_:
        source, target = _inside(folder, from_[name]), _inside(folder, to[name])
        if not source.is_file() or target.exists():
            continue
        with explained(target):
            file_permissions.make_folder(target.parent)
            source.rename(target)


def _inside(folder: CharacterFolder, place: Any) -> Path:
    """A file of the character's by its place; the history lies on disk, and may have been tampered with."""
    parts = str(place).split("/")
    path = folder.path.joinpath(*parts)
    if parts[0] not in ("photos", REMOVED) or ".." in parts or path.name != parts[-1]:
        raise UserError(
            f"{folder.path / FILE} is damaged; delete it: only the undo history is lost.",
            code="history-damaged",
            file=folder.path / FILE,
        )
    return path


# Taking back


def undo(folder: CharacterFolder, kinds: Collection[Kind] = (), at: float | None = None) -> Change:
    """Take the newest change back; what was changed once more since then stays as it is.

    Args:
        folder: the character's.
        kinds: only of these; empty = of all.
        at: when the change was made that is meant; None = whichever is the newest.

    Raises:
        UserError: there is none, the newest is another one than was meant, or a file cannot be read or written.
    """
    known = changes(folder)
    last = next((one for one in reversed(known) if not kinds or one.kind in kinds), None)
    if last is None:
        raise UserError("There is no change to undo.", code="nothing-to-undo")
    if at is not None and last.t != at:
        raise UserError(
            "Something else was changed in the meantime; look at it, and undo that first.", code="changed-meanwhile"
        )
    match last.kind:
        case "decisions":
            _decide_back(folder, last)
        case "removed":
            _move(folder, last.after, last.before)
        case "character":
            _change_back(folder, last)
    _write(folder, [one for one in known if one is not last])
    return last


def _decide_back(folder: CharacterFolder, last: Change) -> None:
    store = audit_store.load(folder)
    for digest, decision in last.after.items():
        before = last.before.get(digest)
        if store.decisions.get(digest) == decision and before in ("keep", "drop", None):
            store = audit_store.decided(store, {"": digest}, before)
    audit_store.save(folder, store)


def _change_back(folder: CharacterFolder, last: Change) -> None:
    now = load(folder)
    values = typed_settings.to_dict(now)
    values |= {name: last.before.get(name) for name, value in last.after.items() if values.get(name) == value}
    before = typed_settings.from_dict(Character, values, str(folder.path / FILE))
    if before != now:
        save(folder, before)
    if editing.newest(folder) == _renaming(before, now):
        editing.undo(folder)  # byte for byte
    else:
        rename(folder, now, before)


# The trigger word in captions


def rename(folder: CharacterFolder, before: Character, after: Character) -> None:
    """Say the new trigger and class word in the captions; a caption that was the plain one stays the plain one.

    Raises:
        UserError: a caption cannot be written.
    """
    if template(before) == template(after) or not folder.photos.is_dir():
        return
    old, new = (one.called for one in (before, after))

    def renamed(caption: str) -> str:
        if caption == template(before):
            return template(after)
        both = _word(old).sub(lambda _: new, caption)
        return both if both != caption else _word(before.trigger).sub(lambda _: after.trigger, caption)

    editing.edit(folder, _renaming(before, after), renamed)


def _renaming(before: Character, after: Character) -> str:
    old, new = (one.called for one in (before, after))
    return f"say {new!r} in place of {old!r}"


def _word(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)", re.IGNORECASE)
