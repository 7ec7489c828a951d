"""Judges pictures by the thresholds that hold for them, alone or as a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.grid.picture_origin import PictureOrigin
from lib_lora.likeness.measure.face_measure import Measured, Measurer
from lib_lora.likeness.measure.refusals import refusal_of
from lib_lora.likeness.measure.vae_ceiling import faces_of, lost_of
from lib_lora.likeness.report import report as reports
from lib_lora.likeness.report.report import Report, Subject
from lib_lora.likeness.report.report_text import as_text
from lib_lora.likeness.verdict.facts import Asked, Training
from lib_lora.likeness.verdict.picture_set import PictureSet, most_sampled, without_drawn
from lib_lora.pictures import Cell
from lib_lora.runs.records import run_records
from lib_lora.training.plan.run_file import Run, load_run, saved_steps
from lib_lora.workflows.judge.grid_folder import judged_of_grid, notes_of_grids
from lib_lora.workflows.judge.grid_report import (
    asked_of,
    measured_by_clip,
    sent_back,
    tested,
    training_cost,
    training_of,
)
from lib_lora.workflows.judge.judged_grids import JudgedGrid
from lib_lora.workflows.judge.picture_lines import CharacterLines, PictureLines, base_pictures, origins_of
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


def score_pictures(
    root: Path,
    name: str,
    images: Sequence[Path],
    engine: FaceEngine | None = None,
    impostors: Sequence[Path] = (),
    base: str | None = None,
) -> Scored:
    """Judge picture files, and all pictures of folders, against a character's photos; of a test grid's folder, those
    that were painted with the LoRA.

    Args:
        root: the data folder.
        name: of the character.
        images: pictures, or folders of them.
        engine: None = the default one.
        impostors: pictures of other people, or folders of them, to draw the lines with beside the cohort.
        base: see `CharacterLines`.

    Raises:
        UserError: no such character, picture or checkpoint.
    """
    folder = Workspace(root).character(name)
    load(folder)
    files = [picture for path in images for picture in judged_of_grid(path) or pictures_in(path)]
    strangers = [picture for path in impostors for picture in pictures_in(path)]
    report, note = judge_files(engine or SFaceEngine(), folder, name, files, strangers, base=base)
    said = [*notes_of_grids(images), *([note] if note else [])]
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
    base: str | None = None,
) -> tuple[Report, str]:
    """The report of picture files, and by which lines they were judged, in one sentence.

    With `named`, pictures of one file name belong together when two reports are compared; `base` as in
    `CharacterLines`.
    """
    ruler = ruler_of(folder, engine)
    try:
        template = template_of(folder, engine)
    except UserError as error:
        paths = reports.Paths([path.as_posix() for path in files])
        asked = [Asked(path.stem if named else "") for path in files]
        return reports.refused(refusal_of(error), paths, asked, Subject(name), engine, ruler), ""
    given = Measurer(engine, template)(strangers)
    return PictureJudge(name, CharacterLines(folder, engine, template, ruler, given, base)).report(files, named)


class PictureJudge:
    """Judges sets of picture files of one character, each as the test grid of what painted it would.

    Args:
        name: of the character.
        lines: finds the lines for the pictures.
    """

    def __init__(self, name: str, lines: CharacterLines) -> None:
        self.lines, self._name = lines, name
        self.measure = Measurer(lines.engine, lines.template)
        self._base: tuple[Path | None, list[Measured]] = (None, [])

    def report(self, files: Sequence[Path], named: bool = False) -> tuple[Report, str]:
        """The report of the files, and by which lines they were judged; `named` as in `judge_files`.

        Raises:
            UserError: see `CharacterLines.of`.
        """
        origins, pictures = origins_of(files), self.measure(files)
        drawn = self.lines.of(pictures, origins, files)
        cells = cells_of(drawn.grid, origins)
        asked = [asked_of(cell) if cell else Asked() for cell in cells]
        if cells and all(cells):  # as the grid asked for them
            pictures = without_drawn(pictures, asked)
        if named:
            asked = [replace(what, prompt=path.stem, seed=None) for what, path in zip(asked, files, strict=True)]
        subject, training, tested = self._trained(drawn, origins)
        shown = PictureSet(
            pictures,
            asked,
            ceiling=faces_of(drawn.ceiling),
            ceiling_lost=lost_of(drawn.ceiling),
            training=training,
            sampling_steps=most_sampled([origin.steps for origin in origins]),
        )
        if drawn.grid:
            shown = self._beside(shown, drawn.grid, cells, files)
        lines = self.lines
        basis = reports.Basis(lines.template, drawn.calibration, lines.engine.licence, lines.ruler, drawn.ceiling)
        paths = reports.Paths([path.as_posix() for path in files])
        return reports.make(shown, paths, basis, subject, tested), drawn.note

    def _beside(
        self, shown: PictureSet, grid: JudgedGrid, cells: Sequence[Cell | None], files: Sequence[Path]
    ) -> PictureSet:
        """The pictures beside the grid's own without the LoRA: in pairs where all show what the grid asked for."""
        if self._base[0] != grid.folder:
            self._base = (grid.folder, base_pictures(grid, self.measure))
        base = self._base[1]
        if not all(cells) or len(base) != len(grid.cells):
            return replace(shown, unpaired=base)
        places = [grid.cells.index(cell) for cell in cells if cell]
        asked = [asked_of(grid.cells[place]) for place in places]
        paired = without_drawn([base[place] for place in places], asked)
        beside, prompts = grid.files("base"), [cell.prompt for cell in grid.base_cells]
        clip = measured_by_clip(files, [beside[n] for n in places], [prompts[n] for n in places], lambda *_, **__: None)
        shown = replace(shown, base=paired)
        if clip is None:
            return shown
        return replace(shown, adherence=clip.adherence, diversity=clip.diversity, clip=clip.model)

    def _trained(
        self, drawn: PictureLines, origins: Sequence[PictureOrigin]
    ) -> tuple[Subject, Training, Sequence[reports.Tested]]:
        """Which checkpoint at which weight painted the pictures, where all name one that a run has saved."""
        used = {(origin.lora, origin.weight) for origin in origins}
        if drawn.painted is None or len(used) != 1:
            return Subject(self._name), Training(), ()
        [(lora, weight)] = used
        found = checkpoint_called(self.lines.folder, lora) if lora else None
        if found is None:
            return Subject(self._name, lora, drawn.base), Training(), ()
        run, step = found
        ruler = self.lines.ruler
        earlier = tested(run, ruler, base=drawn.base)
        training = training_of(run, step, weight, earlier, sent_back(run, ruler, base=drawn.base), self.lines.engine.id)
        checkpoint = run.checkpoint(step)
        cost = training_cost(run, checkpoint)
        return Subject(self._name, checkpoint.name, drawn.base, run.file.id, cost=cost), training, earlier


def cells_of(grid: JudgedGrid | None, origins: Sequence[PictureOrigin]) -> list[Cell | None]:
    """For each picture the cell of the grid with its prompt and seed; None where there is none."""
    if grid is None:
        return [None] * len(origins)
    known: dict[tuple[str, int | None], Cell]
    known = {(" ".join(cell.prompt.split()), cell.seed): cell for cell in grid.cells}
    return [known.get((origin.prompt, origin.seed)) for origin in origins]


def checkpoint_called(folder: CharacterFolder, stem: str) -> tuple[Run, int] | None:
    """The run and the step of a checkpoint by its file name without the ending, or by that of its newest delivered
    copy; None where no run of the character saved one."""
    for place in reversed(folder.run_files()):
        try:
            run = load_run(place.parent)
        except UserError:
            continue
        saved = {run.checkpoint(step).stem: step for step in saved_steps(run)}
        if stem in saved:
            return run, saved[stem]
        for use in run_records.uses(run.folder):
            if Path(str(use["file"])).stem == stem and use.get("step") in saved.values():
                return run, int(use["step"])
    return None


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
