"""Edits the captions of many of a character's photos at once, and undoes such an edit.

Captions are kohya's ``.txt`` files beside the photos. Each change is a line in ``captions.jsonl`` in the character's
folder before a file is touched, with the bytes that were there, so that every one can be taken back, the newest first,
also after a crash.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lib_lora import file_permissions
from lib_lora.captions import phrases
from lib_lora.character import caption_files
from lib_lora.character.photo_files import list_photos
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, write_text
from lib_lora.workspace.workspace import CharacterFolder

HISTORY = "captions.jsonl"
_NO_LETTER = "\ufffd"  # what stands where bytes are no text


@dataclass(frozen=True)
class Captions:
    """The captions of a character's photos.

    Attributes:
        texts: by the photo's file name; empty where there is none.
        unreadable: a sentence for each that cannot be read and is not among `texts`, by the photo's file name.
    """

    texts: dict[str, str]
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Changed:
    """What an edit, or taking one back, did.

    Attributes:
        what: the edit in words.
        files: the photos whose captions are others now.
        left: photos whose captions were changed by someone else meanwhile, and were left alone.
    """

    what: str
    files: list[str]
    left: list[str]


def captions_of(folder: CharacterFolder) -> Captions:
    """The captions of a character's photos."""
    found = Captions({})
    for photo in list_photos(folder.photos):
        try:
            text = caption_files.read(photo) or ""
        except UserError as error:
            found.unreadable[photo.name] = str(error)
            continue
        if _NO_LETTER in text:
            found.unreadable[photo.name] = f"{caption_files.path_of(photo)} is not readable text; save it as UTF-8."
        else:
            found.texts[photo.name] = text
    return found


def edit(folder: CharacterFolder, what: str, change: Callable[[str], str], only: set[str] | None = None) -> Changed:
    """Change the captions of a character's photos; those that cannot be read stay as they are.

    Args:
        folder: the character's.
        what: the edit in words, for the history.
        change: makes the new caption of the old one.
        only: file names of photos; None = all.

    Raises:
        UserError: `only` names a photo that is not there or whose caption cannot be read, or a file cannot be written.
    """
    there = captions_of(folder)
    for name in sorted((only or set()) - there.texts.keys()):
        raise UserError(
            there.unreadable.get(name, f"There is no photo {name} in {folder.photos}."),
            code="photo-not-found",
            photo=name,
        )
    chosen = {name: text for name, text in there.texts.items() if only is None or name in only}
    return rewrite(folder, what, phrases.change(chosen, change))


def rewrite(folder: CharacterFolder, what: str, new: Mapping[str, str]) -> Changed:
    """Give photos other captions.

    Args:
        folder: the character's.
        what: the edit in words, for the history.
        new: by the photo's file name; empty text = no caption.

    Raises:
        UserError: a file cannot be written.
    """
    if new:
        before = {name: _encoded(_bytes(folder, name)) for name in new}
        _append(folder, {"t": time.time(), "what": what, "before": before, "after": dict(new)})
        for name, text in new.items():
            _write(folder, name, f"{text}\n".encode() if text else None)
    return Changed(what, sorted(new), [])


def undo(folder: CharacterFolder) -> Changed:
    """Take the newest change back: the files are again what they were, byte for byte.

    Raises:
        UserError: there is none, or a file cannot be read or written.
    """
    lines = _history(folder)
    if not lines:
        raise UserError(
            f"There is no change to the captions in {folder.photos} left to undo.",
            code="nothing-to-undo",
            folder=folder.photos,
        )
    last, there = lines[-1], captions_of(folder).texts
    before: Mapping[str, str | None] = last["before"]
    back = sorted(name for name in before if name in there and there[name] == last["after"][name])
    for name in back:
        _write(folder, name, _decoded(before[name]))
    left = [
        name
        for name in sorted(before.keys() - set(back))
        if (folder.photos / name).exists() and _bytes(folder, name) != _decoded(before[name])
    ]
    write_text(folder.path / HISTORY, "".join(json.dumps(line) + "\n" for line in lines[:-1]))
    return Changed(last["what"], back, left)


def newest(folder: CharacterFolder) -> str:
    """The newest change that can be taken back, in words; empty where there is none.

    Raises:
        UserError: the history cannot be read.
    """
    lines = _history(folder)
    return str(lines[-1]["what"]) if lines else ""


def _bytes(folder: CharacterFolder, name: str) -> bytes | None:
    path = caption_files.path_of(folder.photos / name)
    with explained(path, "read"):
        return path.read_bytes() if path.is_file() else None


def _write(folder: CharacterFolder, name: str, content: bytes | None) -> None:
    path = caption_files.path_of(folder.photos / name)
    if content is None:
        with explained(path):
            path.unlink(missing_ok=True)
    else:
        with atomic_file(path) as stream:
            stream.write(content)


def _encoded(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _append(folder: CharacterFolder, line: dict[str, Any]) -> None:
    path = folder.path / HISTORY
    with explained(path), open(path, "a", encoding="utf-8", newline="\n", opener=file_permissions.opener) as stream:
        # on a line of its own, also after one that a crash cut off
        stream.write("\n" * (stream.tell() > 0) + json.dumps(line) + "\n")


def _history(folder: CharacterFolder) -> list[dict[str, Any]]:
    """The changes that can be taken back, the newest last; a line that was cut off by a crash does not count."""
    path = folder.path / HISTORY
    if not path.is_file():
        return []
    with explained(path, "read"):
        text = path.read_text(encoding="utf-8", errors="replace")
    found = []
    for line in text.split("\n"):  # splitlines would cut at other marks too, which a file's name may hold
        try:
            value = json.loads(line)
            whole = value["before"].keys() == value["after"].keys() and isinstance(value["what"], str)
            for content in value["before"].values():
                _decoded(content)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        if whole:
            found.append(value)
    return found
