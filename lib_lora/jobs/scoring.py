"""A character's face template, kept beside its cache, and pictures scored against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora import settings
from lib_lora.character.photos import list_photos
from lib_lora.character.store import CharacterFolder, folder_of, load
from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.likeness import template as templates
from lib_lora.likeness.engine import SFaceEngine
from lib_lora.likeness.score import score_images, summarise
from lib_lora.likeness.table import score_table, table
from lib_lora.likeness.template import Template


@dataclass(frozen=True)
class Scored:
    """A result for people and for programs."""

    text: str
    values: dict[str, Any]


def template_of(folder: CharacterFolder, engine: SFaceEngine) -> Template:
    """The template of the character's photos as they are now; made anew only when they have changed.

    Raises:
        UserError: there are no photos, or no face in any.
    """
    photos = list_photos(folder.photos)
    path = folder.cache / "template.json"
    try:
        known = templates.load(path) if path.exists() else None
    except UserError:
        known = None  # damaged or of another version: it is only a cache
    if known and known.is_current(engine.id, [sha256(photo) for photo in photos]):
        return known
    template = templates.build(engine, photos)
    templates.save(template, path)
    return template


def score_pictures(root: Path, name: str, images: Sequence[Path]) -> Scored:
    """Score picture files, and all pictures of folders, against a character's photos.

    Raises:
        UserError: no such character or picture.
    """
    folder = folder_of(root, name)
    load(folder)
    files = [picture for path in images for picture in _pictures(path)]
    engine = SFaceEngine()
    template = template_of(folder, engine)
    scored = score_images(engine, template, files)
    # two folders may hold pictures of one name
    scores = [replace(score, image=str(path)) for path, score in zip(files, scored, strict=True)]
    summary = summarise(scores, None, template, which="")
    about = settings.to_dict(summary)
    values = {
        "engine": about["engine"],
        "photos": about["photos"],
        "pictures": about["with_lora"],
        "remarks": about["remarks"],
        "caveat": about["caveat"],
        "images": [settings.to_dict(score) for score in scores],
    }
    return Scored(f"{score_table(scores)}\n\n{table(summary, pictures='the pictures')}", values)


def _pictures(path: Path) -> list[Path]:
    """The pictures of a folder, or the one picture that `path` is."""
    found = list_photos(path) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise UserError(f"There is no picture in {path}." if path.is_dir() else f"There is no picture {path}.")
    return found
