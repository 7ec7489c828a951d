"""A character's template, kept beside its cache, the lines drawn for it, and pictures judged by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lib_lora import settings
from lib_lora.character.photos import list_photos
from lib_lora.character.store import CharacterFolder, folder_of, load
from lib_lora.errors import UserError
from lib_lora.files import digest_of, sha256
from lib_lora.jobs.grid_folder import judged_of_grid, told_of_grids
from lib_lora.likeness import report as reports
from lib_lora.likeness import template as templates
from lib_lora.likeness.calibration import BASE, COHORT, GIVEN, Calibration, against, calibrate
from lib_lora.likeness.cohort import cohort
from lib_lora.likeness.engine import SFaceEngine
from lib_lora.likeness.faces import FaceEngine
from lib_lora.likeness.facts import Asked
from lib_lora.likeness.measure import Measured, Measurer
from lib_lora.likeness.report import Report, Subject
from lib_lora.likeness.shown import Shown, likenesses
from lib_lora.likeness.template import Template
from lib_lora.likeness.text import as_text
from lib_lora.references import memory


@dataclass(frozen=True)
class Scored:
    """A result for people and for programs.

    Attributes:
        text: for a terminal.
        values: for JSON.
        drift: the face does not hold.
        judged: false where there is no verdict.
    """

    text: str
    values: dict[str, Any]
    drift: bool = False
    judged: bool = True


def template_of(folder: CharacterFolder, engine: FaceEngine) -> Template:
    """The template of the character's photos as they are now; made anew only when they have changed.

    Raises:
        UserError: there are no photos, or no face in any.
    """
    photos, dropped = list_photos(folder.photos), memory.load(folder).dropped
    kept = kept_template(folder, engine)
    if kept and kept.is_current(engine.id, _hashes(photos), dropped):
        return kept
    template = templates.build(engine, photos, dropped=dropped)
    templates.save(template, template_path(folder, engine))
    return template


def kept_template(folder: CharacterFolder, engine: FaceEngine) -> Template | None:
    """The template that was kept last, which may be of other photos; None where there is none that can be read."""
    path = template_path(folder, engine)
    try:
        kept = templates.load(path) if path.exists() else None
    except UserError:
        return None  # damaged or of another version: it is only a cache
    return kept if kept and kept.engine == engine.id else None


def ruler_of(folder: CharacterFolder, engine: FaceEngine) -> str:
    """What likenesses are measured with: a digest of the engine and of the photos in use as they are now."""
    return digest_of(engine.id, sorted(digest for _, digest in _hashes(memory.photos_to_use(folder))))


def _hashes(photos: Sequence[Path]) -> list[tuple[str, str]]:
    """Name and SHA-256 of each photo."""
    found = [(photo, photo.stat()) for photo in photos]
    return [(photo.name, _hash(photo, about.st_size, about.st_mtime_ns)) for photo, about in found]


@lru_cache(maxsize=4096)
def _hash(photo: Path, size: int, changed: int) -> str:  # noqa: ARG001 - a file of another size or time is read anew
    return sha256(photo)


def template_path(folder: CharacterFolder, engine: FaceEngine) -> Path:
    """Where an engine's template of a character is kept."""
    return folder.cache / f"template-{digest_of(engine.id)[:12]}.json"


def lines_for(
    template: Template,
    base: Sequence[Measured] | None = None,
    given: Sequence[Measured] = (),
    ceiling: Any = None,
) -> Calibration:
    """The lines of a character.

    Args:
        template: of the character.
        base: pictures painted without the LoRA.
        given: pictures of other people that the user names.
        ceiling: leave-one-out scores of the photos after the base model's VAE.
    """
    sources = [
        (BASE, likenesses(base or ())),
        (GIVEN, likenesses(given)),
        (COHORT, against(template, cohort(template.engine))),
    ]
    return calibrate(template.loo, sources, ceiling)


def score_pictures(
    root: Path,
    name: str,
    images: Sequence[Path],
    engine: FaceEngine | None = None,
    impostors: Sequence[Path] = (),
) -> Scored:
    """Judge picture files, and all pictures of folders, against a character's photos; of a test grid's folder, those
    that were painted with the LoRA.

    Args:
        root: the data folder.
        name: of the character.
        images: pictures, or folders of them.
        engine: None = the default one.
        impostors: pictures of other people, or folders of them, to draw the lines with beside the cohort.

    Raises:
        UserError: no such character or picture.
    """
    folder = folder_of(root, name)
    load(folder)
    files = [picture for path in images for picture in judged_of_grid(path) or pictures_in(path)]
    strangers = [picture for path in impostors for picture in pictures_in(path)]
    report = judge_files(engine or SFaceEngine(), folder, name, files, strangers)
    said = told_of_grids(images)
    text = "\n".join([*said, as_text(report)])
    values = {**settings.to_dict(report), "notes": said}
    return Scored(text, values, report.verdict.drift, report.verdict.judged)


def judge_files(
    engine: FaceEngine,
    folder: CharacterFolder,
    name: str,
    files: Sequence[Path],
    strangers: Sequence[Path] = (),
    named: bool = False,
) -> Report:
    """The report of picture files of which nothing else is known.

    With `named`, pictures of one file name belong together when two reports are compared.
    """
    asked = [Asked(path.stem if named else "") for path in files]
    paths = reports.Paths([path.as_posix() for path in files])
    ruler = ruler_of(folder, engine)
    try:
        template = template_of(folder, engine)
    except UserError as error:
        return reports.refused(str(error), paths, asked, Subject(name), engine, ruler)
    measure = Measurer(engine, template)
    lines = lines_for(template, given=measure(strangers))
    pictures = measure(files)
    return reports.make(Shown(pictures, asked), paths, template, lines, Subject(name), engine.licence, ruler=ruler)


def pictures_in(path: Path) -> list[Path]:
    """The pictures of a folder, or the one picture that `path` is.

    Raises:
        UserError: there is none.
    """
    found = list_photos(path) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise UserError(f"There is no picture in {path}." if path.is_dir() else f"There is no picture {path}.")
    return found
