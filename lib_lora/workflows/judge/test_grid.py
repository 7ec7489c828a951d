"""Tests a run after training: chooses the checkpoint, and paints the test grid with and without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.grid.paint_plan import PaintPlan
from lib_lora.likeness.verdict.facts import Training, TrainingFacts
from lib_lora.models.fast.memory import is_out_of_memory
from lib_lora.runs.reopen import done_steps
from lib_lora.runs.run_names import checkpoint_named, newest
from lib_lora.training.plan.run_file import Run, saved_steps
from lib_lora.workflows.judge.grid_report import GridReport, PaintedGrid, judge_grid, read_report
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun, painted
from lib_lora.workflows.judge.judged_grids import governing_grid
from lib_lora.workflows.photos.character_template import ruler_of
from lib_lora.workspace.workspace import Workspace

Emit = Callable[..., None]


def find_run(root: Path, name: str, identifier: str | None, step: int | None) -> tuple[Run, int]:
    """A run of a character, and the step of one of its checkpoints.

    Args:
        root: the data folder.
        name: of the character.
        identifier: of the run, with or without its leading zeros; None = the newest that has a checkpoint.
        step: None = the one to use (`training.plan.run_file.step_to_use`).

    Raises:
        UserError: there is no such run or checkpoint.
    """
    run = newest(Workspace(root).character(name), name, identifier, trained=True)
    return run, checkpoint_named(run, step)


def paint_and_score(
    run: Run,
    request: GridRequest,
    emit: Emit,
    again: bool = True,
    grid_run: GridRun | None = None,
    engine: FaceEngine | None = None,
) -> GridReport:
    """Paint the test grid with and without the LoRA, and judge it against the photos.

    Args:
        run: a trained run.
        request: which checkpoint, and how it is painted.
        emit: for events.
        again: paint also what has been painted and judged before.
        grid_run: who paints, on which base; None = diffusers on the run's own.
        engine: None = the default one.

    Raises:
        UserError: the base model is gone or another, the checkpoint is gone, or memory or disk do not suffice.
        StoppedByUser: by whoever paints, or by `emit`; the pictures that are there are kept.
    """
    try:
        grid_run, engine = grid_run or GridRun(run, emit), engine or SFaceEngine()
        plan = grid_run.plan(request)
        if not again and (done := finished_grid(run, plan, ruler_of(run.character_folder, engine), grid_run.base)):
            return done
        folder = grid_run.paint(plan, again)
        painted_grid = PaintedGrid(folder, plan, request.step, request.weight, grid_run.base, request.more)
        emit("progress", done=0, total=0, text="Measuring the faces")
        return judge_grid(run, painted_grid, engine, grid_run.painter.reconstruct, emit)
    except StoppedByUser:
        raise
    except Exception as error:
        lacking = is_out_of_memory(error)
        text = "Out of memory while painting; close other programs (or the webui's model)." if lacking else str(error)
        code = error.code if isinstance(error, UserError) else "out-of-memory" if lacking else "internal-error"
        emit("error", code=code, text=text)
        if lacking:
            raise UserError(text, code="out-of-memory") from error
        raise


def finished_grid(run: Run, plan: PaintPlan, ruler: str, base: Path | None = None) -> GridReport | None:
    """The report of the newest grid that was painted by this very plan, with the checkpoint `base` (None = the run's
    own), and judged with this `ruler` (`likeness.report.report.Report`) by the lines that hold now; None where there is
    none."""
    base = base or Path(run.file.base.path)
    now = Training(saved=tuple(saved_steps(run)), done=done_steps(run))
    for folder in painted(run, plan):
        try:
            report = read_report(folder)
        except UserError:
            continue  # damaged or of another version: it is judged again
        facts = report.report.facts.training
        if report.report.ruler != ruler or not report.preview.is_file() or not _advises_for(now, facts):
            continue
        if facts.step is None and not report.report.subject.more:
            continue  # earlier versions left it out where no photo shows a face
        known = governing_grid(run, base, plan, folder, ruler)
        if known is None or known.report.calibration == report.report.calibration:
            return report
    return None


def _advises_for(run: Training, facts: TrainingFacts) -> bool:
    """Whether the checkpoints and the last step that an advice was made for are still those of the run."""
    if facts.step is None:
        return True
    there = replace(run, step=facts.step)
    earlier, later = there.neighbours
    if facts.last is None:  # an earlier version's, which knew the neighbours only
        return (earlier, later) == (facts.earlier, facts.later)
    return (earlier, there.last) == (facts.earlier, facts.last) and facts.later in (None, *there.saved)
