"""Adds pictures of an invented character to its photos, under unused names, never over another file.

Also the square part of a picture of the user's own, because pictures are painted as squares.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from lib_lora.character import caption_files
from lib_lora.errors import UserError
from lib_lora.faces.array_types import Box
from lib_lora.files import atomic_file, explained
from lib_lora.photos.importing import safe_names
from lib_lora.runs.run_lock import only_process
from lib_lora.workspace.workspace import CharacterFolder


def become_photo(folder: CharacterFolder, source: Path, wanted: str, caption: str, patience: float = 0.0) -> Path:
    """Copy a picture into the character's photos and caption it; one that is there with the same bytes is left alone.

    The caption comes first, so that whatever ends the process in between, no photo is without its words.

    Args:
        folder: the character's; it exists.
        source: the picture.
        wanted: file name for it; where that is another's, it gets a number.
        caption: for it, unless it is there with a caption already.
        patience: seconds to wait for another process that is at work on the photos.

    Raises:
        UserError: another process is at work on the photos, or a file cannot be read or written.
    """
    with only_process(folder.path, "wait a moment and try again", patience):
        target = _place(folder.photos, source, wanted, caption)
        caption_files.write_missing([target], caption)
        if not target.exists():
            copy(source, target)
    return target


def _place(photos: Path, source: Path, wanted: str, caption: str) -> Path:
    stem, suffix = safe_names.split(wanted)
    with explained(photos, "read"):
        there = list(photos.iterdir())
    for choice in safe_names.choices(stem):
        target = photos / f"{choice}{suffix}"
        taken = [path for path in there if safe_names.key(path.stem) == safe_names.key(choice)]
        if target in taken and same_bytes(source, target):
            return target
        if all(path == caption_files.path_of(target) and _says(target, caption) for path in taken):
            return target  # at most its caption is there, which an earlier call wrote before it was ended
    raise AssertionError("choices never end")


def _says(photo: Path, caption: str) -> bool:
    try:
        return caption_files.read(photo) == " ".join(caption.split())
    except UserError:  # it is no caption
        return False


def free_file(folder: Path, source: Path, stem: str) -> Path:
    """Where in `folder` a file with the bytes of `source` lies, or can be put without writing over another one."""
    for choice in safe_names.choices(stem):
        target = folder / f"{choice}{source.suffix.lower()}"
        if not target.exists() or same_bytes(source, target):
            return target
    raise AssertionError("choices never end")


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same.

    Raises:
        UserError: one of them cannot be read.
    """
    with explained(one, "read"):
        first = one.read_bytes()
    with explained(other, "read"):
        return other.stat().st_size == len(first) and other.read_bytes() == first


def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes; `target` is whole or absent."""
    with explained(source, "read"), open(source, "rb") as old, atomic_file(target) as new:
        shutil.copyfileobj(old, new)


def square_part(image: Image.Image, box: Box) -> Image.Image:
    """The largest square of a picture that has the face as near to its middle as the edges allow.

    Args:
        image: any size.
        box: of the face: left, top, width, height in pixels.
    """
    side = min(image.size)
    left, top = (
        round(min(max(start + length / 2 - side / 2, 0), whole - side))
        for start, length, whole in zip(box[:2], box[2:], image.size, strict=True)
    )
    return image.crop((left, top, left + side, top + side))
