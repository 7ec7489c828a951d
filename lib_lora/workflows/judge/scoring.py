"""A character's template, kept beside its cache, the lines drawn for it, and pictures judged by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.faces.opencv_engine import SFaceEngine
from lib_lora.likeness.measure.calibration import BASE, COHORT, GIVEN, Calibration, against, calibrate
from lib_lora.likeness.measure.cohort import cohort
from lib_lora.likeness.measure.face_measure import Measured, Measurer
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.report import report as reports
from lib_lora.likeness.report.report import Report, Subject
from lib_lora.likeness.report.report_text import as_text
from lib_lora.likeness.verdict.facts import Asked
from lib_lora.likeness.verdict.picture_set import PictureSet, likenesses
from lib_lora.workflows.judge.grid_folder import judged_of_grid, notes_of_grids
from lib_lora.workflows.photos.character_template import ruler_of, template_of
from lib_lora.workspace.workspace import CharacterFolder, Workspace


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
    folder = Workspace(root).character(name)
    load(folder)
    files = [picture for path in images for picture in judged_of_grid(path) or pictures_in(path)]
    strangers = [picture for path in impostors for picture in pictures_in(path)]
    report = judge_files(engine or SFaceEngine(), folder, name, files, strangers)
    said = notes_of_grids(images)
    text = "\n".join([*said, as_text(report)])
    values = {**reports.values_of(report), "notes": said}
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
    return reports.make(PictureSet(pictures, asked), paths, template, lines, Subject(name), engine.licence, ruler=ruler)


def pictures_in(path: Path) -> list[Path]:
    """The pictures of a folder, or the one picture that `path` is.

    Raises:
        UserError: there is none.
    """
    found = list_photos(path) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise UserError(
            f"There is no picture in {path}." if path.is_dir() else f"There is no picture {path}.",
            code="picture-missing",
            path=path,
        )
    return found
