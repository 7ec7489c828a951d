"""Finds a character's judged test grids, and the thresholds ("lines") of the one that knows most.

A grid measures two things of its base model that pictures alone do not tell: what its VAE lets through of this face,
and how similar the people that it paints anyway are to this character. Lines drawn from them hold for every picture of
the character that this base model paints at this size, so that a picture gets the same word wherever it is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.files import read_json
from lib_lora.grid.paint_plan import PaintPlan, file_name
from lib_lora.grid.picture_origin import OWN_VAE, PictureOrigin, is_same_base, read_origin
from lib_lora.likeness.measure.calibration import BASE, COHORT, GIVEN, Calibration, against, calibrate
from lib_lora.likeness.measure.cohort import cohort
from lib_lora.likeness.measure.face_measure import Measured
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.measure.vae_ceiling import scores_of
from lib_lora.likeness.report import report as reports
from lib_lora.likeness.report.report import Report
from lib_lora.likeness.verdict.picture_set import likenesses
from lib_lora.pictures import Cell
from lib_lora.runs.records.grid_records import planned
from lib_lora.training.plan.run_file import Run, load_run
from lib_lora.workspace.file_cache import kept, mark
from lib_lora.workspace.grid_files import CELLS, PLAN_FILE, REPORT_FILE
from lib_lora.workspace.workspace import CharacterFolder


@dataclass(frozen=True)
class JudgedGrid:
    """A judged grid that has lines.

    Attributes:
        folder: its folder.
        report: its report.
        cells: what each picture with the LoRA was asked to be; `base_cells` of those without. LoRAs are left out.
        painted: the base model and VAE that painted it.
    """

    folder: Path
    report: Report
    cells: Sequence[Cell]
    base_cells: Sequence[Cell]
    painted: PictureOrigin

    @property
    def sizes(self) -> frozenset[tuple[int, int]]:
        """Widths and heights of its pictures."""
        return sizes_of(self.cells)

    def files(self, role: str) -> list[Path]:
        """Where the pictures of a role lie."""
        count = len(self.cells if role == "lora" else self.base_cells)
        return [self.folder / CELLS / file_name(role, number) for number in range(1, count + 1)]

    def calibration(self, template: Template, given: Sequence[Measured]) -> Calibration:
        """Its lines; drawn again where pictures of other people are given besides."""
        if not given:
            return self.report.calibration
        base = [Measured(row.score) for row in self.report.of("base")]
        return lines_for(template, base, given, scores_of(self.report.ceiling) if self.report.ceiling else None)


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


def judged_grids(folder: CharacterFolder, ruler: str) -> Iterator[JudgedGrid]:
    """The grids of all runs of a character that were judged with this `ruler` (`Report`) and have lines."""
    for place in folder.run_files():
        try:
            run = load_run(place.parent)
        except UserError:
            continue  # it is said where the run is asked for by itself
        for path in sorted(run.grids.glob(f"*/{REPORT_FILE}"), key=lambda one: (len(one.parent.name), one)):
            found = judged_grid(run, path.parent)
            if found and found.report.ruler == ruler:
                yield found


def report_of(path: Path) -> Report:
    """A grid's report, kept until its file changes: each new grid asks those of all others.

    Raises:
        UserError: missing, damaged, or of another version.
    """
    return kept(("report", str(path)), mark(path), lambda: reports.load(path))


def judged_grid(run: Run, folder: Path) -> JudgedGrid | None:
    """A grid of a run; None where it has no lines, or cannot be read."""
    try:
        report, plan = report_of(folder / REPORT_FILE), read_json(folder / PLAN_FILE)
    except UserError:
        return None  # damaged or of another version: it says nothing
    cells, base = (plan.get(role) for role in ("lora", "base")) if isinstance(plan, dict) else (None, None)
    if report.calibration.lines is None or not isinstance(cells, list) or not isinstance(base, list) or not cells:
        return None
    try:
        with_lora, without = [planned(cell) for cell in cells], [planned(cell) for cell in base]
    except ValueError:
        return None
    by = plan.get("by", "")
    painted = base_painted(run, report.subject.base, by if isinstance(by, str) else "", folder)
    return JudgedGrid(folder, report, with_lora, without, painted)


def base_painted(run: Run, base: str, by: str, folder: Path) -> PictureOrigin:
    """Which base model and VAE painted a grid.

    Args:
        run: whose grid it is.
        base: file name of the base model.
        by: as in its plan (`PaintPlan`).
        folder: of the grid; a webui's pictures say which VAE.
    """
    own = run.file.base
    painter, other, digest = by.rpartition(" on ")
    webui = painter if other else by
    digest = digest if other else own.sha256 if Path(own.path).name == base else ""
    vae = read_origin(folder / CELLS / file_name("lora", 1)).vae if webui else OWN_VAE
    return PictureOrigin("painted", base=Path(base).stem, base_hash=digest[:10], vae=vae)


def sizes_of(cells: Iterable[Cell]) -> frozenset[tuple[int, int]]:
    """Widths and heights that cells ask for."""
    return frozenset((cell.width, cell.height) for cell in cells)


def fitting(grids: Iterable[JudgedGrid], origin: PictureOrigin, sizes: frozenset[tuple[int, int]]) -> list[JudgedGrid]:
    """The grids that were painted by the same base model and VAE, as far as `origin` says, at all of these sizes."""
    return [grid for grid in grids if sizes <= grid.sizes and is_same_base(origin, grid.painted)]


def knows_most(grids: Iterable[JudgedGrid]) -> JudgedGrid | None:
    """The grid whose lines hold for all: one with a ceiling, of the most pictures without the LoRA, and the oldest of
    those, so that the lines stay; None if there are none."""

    def rank(grid: JudgedGrid) -> tuple[bool, int]:
        return bool(grid.report.ceiling), len(grid.base_cells)

    return max(sorted(grids, key=lambda grid: grid.report.made), key=rank, default=None)


def governing_grid(run: Run, base: Path, plan: PaintPlan, folder: Path, ruler: str) -> JudgedGrid | None:
    """The earlier grid whose lines hold for a grid as well; None where that has to draw its own, since no other has a
    ceiling and as many pictures without the LoRA.

    Args:
        run: whose grid it is.
        base: path of the checkpoint that it is painted with.
        plan: its pictures; `folder` where they lie.
        ruler: see `Report`.
    """
    origin = base_painted(run, base.name, plan.by, folder)
    others = (grid for grid in judged_grids(run.character_folder, ruler) if grid.folder != folder)
    best = knows_most(fitting(others, origin, sizes_of(plan["lora"])))
    return best if best and best.report.ceiling and len(best.base_cells) >= len(plan["base"]) else None
