"""The captions of a character's photos, edited many at once, with a way back.

Captions are kohya's ``.txt`` files beside the photos. Each change is a line in ``captions.jsonl`` in the character's
folder before a file is touched, so that every one can be taken back, the newest first, also after a crash.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lib_lora.character import captions
from lib_lora.character.photos import list_photos
from lib_lora.character.store import CharacterFolder
from lib_lora.errors import UserError
from lib_lora.files import explained, write_text
from lib_lora.references import phrases

HISTORY = "captions.jsonl"


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


def captions_of(folder: CharacterFolder) -> dict[str, str]:
    """The caption of each photo by the photo's file name; empty where there is none.

    Raises:
        UserError: a caption cannot be read.
    """
    return {photo.name: captions.read(photo) or "" for photo in list_photos(folder.photos)}


def edit(folder: CharacterFolder, what: str, change: Callable[[str], str], only: set[str] | None = None) -> Changed:
    """Change the captions of a character's photos.

    Args:
        folder: the character's.
        what: the edit in words, for the history.
        change: makes the new caption of the old one.
        only: file names of photos; None = all.

    Raises:
        UserError: `only` names a photo that is not there, or a file cannot be read or written.
    """
    there = captions_of(folder)
    unknown = sorted((only or set()) - there.keys())
    if unknown:
        raise UserError(f"There is no photo {unknown[0]} in {folder.photos}.")
    chosen = {name: text for name, text in there.items() if only is None or name in only}
    new = phrases.change(chosen, change)
    if new:
        _append(folder, {"t": time.time(), "what": what, "before": {name: there[name] for name in new}, "after": new})
        _write(folder, new)
    return Changed(what, sorted(new), [])


def undo(folder: CharacterFolder) -> Changed:
    """Take the newest change back.

    Raises:
        UserError: there is none, or a file cannot be read or written.
    """
    lines = _history(folder)
    if not lines:
        raise UserError(f"No caption in {folder.photos} was changed by this program, so there is nothing to take back.")
    last, there = lines[-1], captions_of(folder)
    before: Mapping[str, str] = last["before"]
    back = {name: text for name, text in before.items() if there.get(name) == last["after"][name]}
    _write(folder, back)
    write_text(folder.path / HISTORY, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines[:-1]))
    left = sorted(name for name, text in before.items() if name not in back and there.get(name) not in (None, text))
    return Changed(last["what"], sorted(back), left)


def _write(folder: CharacterFolder, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        path = captions.path_of(folder.photos / name)
        if text:
            write_text(path, text + "\n")
        else:
            with explained(path):
                path.unlink(missing_ok=True)


def _append(folder: CharacterFolder, line: dict[str, Any]) -> None:
    path = folder.path / HISTORY
    with explained(path), open(path, "a", encoding="utf-8", newline="\n") as stream:
        # on a line of its own, also after one that a crash cut off
        stream.write("\n" * (stream.tell() > 0) + json.dumps(line, ensure_ascii=False) + "\n")


def _history(folder: CharacterFolder) -> list[dict[str, Any]]:
    """The changes that can be taken back, the newest last; a line that was cut off by a crash is none."""
    path = folder.path / HISTORY
    if not path.is_file():
        return []
    with explained(path, "read"):
        text = path.read_text(encoding="utf-8", errors="replace")
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
            whole = value["before"].keys() == value["after"].keys() and isinstance(value["what"], str)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        if whole:
            found.append(value)
    return found
