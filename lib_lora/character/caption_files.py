"""Reads and writes captions, the text beside a photo as kohya's tools read it (``photo.txt``)."""

from __future__ import annotations

import re
from pathlib import Path

from lib_lora.character.store import Character
from lib_lora.errors import UserError
from lib_lora.files import explained, write_text

MAX_BYTES = 100_000


def template(character: Character) -> str:
    """The caption of a photo of which nothing else is known: ``photo of mrxa woman``, then the traits if any."""
    return ", ".join([f"photo of {character.called}", *character.traits])


def without_character(caption: str, character: Character) -> str:
    """`caption` with the class word alone in place of the trigger, or of trigger and class word: nobody is called.

    Upper and lower case are the same, as for the text encoders; the trigger within a longer word is another word.
    """
    trigger, class_word = re.escape(character.trigger), re.escape(character.class_word)
    called = rf"(?<!\w){trigger}(?:\s+{class_word})?(?!\w)"
    return re.sub(called, lambda _: character.class_word, caption, flags=re.IGNORECASE)


def path_of(photo: Path) -> Path:
    """Where the caption of `photo` lies."""
    return photo.with_suffix(".txt")


def read(photo: Path) -> str | None:
    """The caption of a photo on one line, or None where there is none; see `decode`.

    Raises:
        UserError: the file cannot be read or is no text.
    """
    path = path_of(photo)
    if not path.is_file():
        return None
    with explained(path, "read"):
        raw = path.read_bytes()
    return decode(raw, str(path))


def decode(raw: bytes, name: str) -> str | None:
    """The bytes of a caption file as one line, or None where there is nothing in it.

    Args:
        raw: UTF-8 and UTF-16 with their marks, plain UTF-8, else Windows' cp1252.
        name: of the file, for the sentence.

    Raises:
        UserError: it is no text, or longer than 100,000 bytes.
    """
    text = raw[:MAX_BYTES].decode(_encoding(raw[:MAX_BYTES]), errors="replace")
    if len(raw) > MAX_BYTES or "\0" in text:
        raise UserError(
            f"{name} is not a caption (too long, or not text); replace or remove it.",
            code="caption-unreadable",
            file=name,
        )
    return " ".join(text.split()) or None


def _encoding(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def write_missing(photos: list[Path], caption: str) -> int:
    """Write `caption` for every photo that has none; returns for how many. An existing caption is never touched."""
    missing = [photo for photo in photos if read(photo) is None]
    for photo in missing:
        write_text(path_of(photo), caption + "\n")
    return len(missing)
