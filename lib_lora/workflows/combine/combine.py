"""Finds up to which weight another LoRA leaves the face as it is: the same pictures at growing weights, measured.

What was painted by an earlier call, or by a test grid, is not painted again.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.errors import UserError
from lib_lora.files import sha256_once
from lib_lora.grid.cells import with_lora
from lib_lora.grid.paint_plan import PaintPlan
from lib_lora.lora.file.fitting import check_fits
from lib_lora.queue.job_types import COMBINED, COMBINED_WEIGHTS
from lib_lora.runs.search_progress import SearchProgress
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun, new_folder
from lib_lora.workflows.judge.test_grid import paint_and_score
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used
from lib_lora.workspace.grid_files import CELLS

if TYPE_CHECKING:
    from lib_lora.faces.face import FaceEngine
    from lib_lora.likeness.comparing.combined_report import CombinedReport, CombinedRow
    from lib_lora.likeness.comparing.weight_curve import WeightPoint
    from lib_lora.likeness.comparing.weight_verdict import CombinedVerdict
    from lib_lora.workflows.judge.grid_report import GridReport

Emit = Callable[..., None]


@dataclass(frozen=True)
class CombineRequest:
    """What is combined.

    Attributes:
        lora: file of the other LoRA.
        step: of the checkpoint; `weight` of the character's LoRA.
        weights: of the other one, above 0; 0 is always among them.
        count: prompts at each weight.
        grid_steps: sampling steps.
    """

    lora: Path
    step: int
    weight: float = 1.0
    weights: Sequence[float] = COMBINED_WEIGHTS
    count: int = COMBINED
    grid_steps: int = 20

    def __post_init__(self) -> None:
        if not self.weights or not all(0 < one <= 10 for one in self.weights):
            raise UserError(
                "The weights of the other LoRA must be above 0, such as 0.25 0.5 1; 0 is always among them.",
                "weights",
                code="combined-weights-wrong",
            )


@dataclass(frozen=True)
class Combined:
    """What came of it: the folder with ``combined.json`` and ``combined.html``, and the report."""

    folder: Path
    report: CombinedReport


def combine(
    run: Run,
    emit: Emit,
    request: CombineRequest,
    grid_run: GridRun | None = None,
    engine: FaceEngine | None = None,
) -> Combined:
    """Paint, measure and judge. Where no test of the LoRA alone is there, it is painted first: it has the lines.

    Args:
        run: a trained run.
        emit: for events.
        request: what is combined.
        grid_run: who paints; None = diffusers on the run's own base model.
        engine: None = the default one.

    Raises:
        UserError: the other LoRA is gone, damaged, for another family or must not be used, the base model is gone or
            another, or memory or disk do not suffice.
        StoppedByUser: by whoever paints, or by `emit`; the pictures that are there are kept.
    """
    from lib_lora.faces.engines.opencv_engine import SFaceEngine
    from lib_lora.likeness.comparing.weight_verdict import judge_curve, without_curve

    grid_run, engine = grid_run or GridRun(run, emit), engine or SFaceEngine()
    see_that_it_may_be_used(run.workspace.root, request.lora)
    check_fits(request.lora, grid_run.info.family, grid_run.info.context_dim)
    weights = sorted({float(one) for one in request.weights})
    alone = GridRequest(request.step, request.weight, request.grid_steps)
    plan = plan_of(grid_run, request, weights)
    rounds = grid_run.emit = SearchProgress(emit, [])
    rounds.replan([*grid_run.to_paint([grid_run.plan(alone)]), *grid_run.to_paint([plan], run.combined)])
    rounds.begin("the LoRA alone")
    before = paint_and_score(run, alone, rounds, False, grid_run, engine)
    name, report = request.lora.stem, before.report
    if report.calibration.lines is None:
        refusal = report.calibration.refusal
        why = refusal.message() if refusal else report.verdict.because
        verdict = without_curve(name, report.verdict.headline, why)
    elif report.verdict.drift or not report.verdict.judged:
        verdict = without_curve(name, report.verdict.headline)
    else:
        rounds.begin(f"with {name}")
        folder = grid_run.paint(plan, parent=run.combined)
        emit("progress", done=0, total=0, text="Measuring the faces")
        points, rows = _measured(run, engine, plan, folder, weights, before)
        return _written(run, folder, request, before, judge_curve(points, name), points, rows)
    return _written(run, new_folder(run, run.combined), request, before, verdict, [], [])


def plan_of(grid_run: GridRun, request: CombineRequest, weights: Sequence[float]) -> PaintPlan:
    """The pictures of each weight, the first role without the other LoRA; of the prompts and seeds of a test grid."""
    cells = grid_run.plan(GridRequest(request.step, request.weight, request.grid_steps, request.count, leak=False))[
        "lora"
    ]
    lora = grid_run.run.checkpoint(request.step)
    beside = {
        role_of(number): with_lora(cells, lora, request.weight, [(request.lora, weight)])
        for number, weight in enumerate(weights, 1)
    }
    return PaintPlan({role_of(0): cells, **beside}, grid_run.by)


def role_of(number: int) -> str:
    """The role of the pictures at a weight, by its place; 0 = without the other LoRA."""
    return f"at{number}"


def _measured(
    run: Run, engine: FaceEngine, plan: PaintPlan, folder: Path, weights: Sequence[float], before: GridReport
) -> tuple[list[WeightPoint], list[CombinedRow]]:
    from lib_lora.likeness.comparing.combined_report import CombinedRow
    from lib_lora.likeness.comparing.weight_curve import curve
    from lib_lora.likeness.measure.face_measure import Measurer
    from lib_lora.likeness.verdict.facts import status_of
    from lib_lora.likeness.verdict.picture_set import without_drawn
    from lib_lora.workflows.judge.grid_report import asked_of
    from lib_lora.workflows.photos.character_template import template_of

    measure = Measurer(engine, template_of(run.character_folder, engine))
    lines, files = before.report.calibration, plan.files(folder)
    prompts = [cell.name or cell.prompt for cell in plan[role_of(0)]]
    scores, rows = [], []
    for number, weight in enumerate([0.0, *weights]):
        role = role_of(number)
        cells = plan[role]
        found = [one.score for one in without_drawn(measure(files[role]), [asked_of(cell) for cell in cells])]
        scores.append(found)
        rows += [
            CombinedRow(weight, f"{CELLS}/{path.name}", prompt, cell.seed, status_of(score, lines), score.likeness)
            for path, prompt, cell, score in zip(files[role], prompts, cells, found, strict=True)
        ]
    return curve([0.0, *weights], scores, prompts, lines), rows


def _written(
    run: Run,
    folder: Path,
    request: CombineRequest,
    before: GridReport,
    verdict: CombinedVerdict,
    points: Sequence[WeightPoint],
    rows: Sequence[CombinedRow],
) -> Combined:
    from lib_lora.likeness.comparing import combined_page
    from lib_lora.likeness.comparing.combined_report import CombinedReport, save

    report = CombinedReport(
        verdict=verdict,
        points=list(points),
        pictures=list(rows),
        character=run.file.character.name,
        run=run.file.id,
        step=request.step,
        weight=request.weight,
        lora=request.lora.name,
        lora_sha256=sha256_once(request.lora),
        base=before.report.subject.base,
        engine=before.report.engine,
        ruler=before.report.ruler,
        grid=before.folder.name,
        made=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )
    save(report, folder)
    combined_page.write(report, folder)
    return Combined(folder, report)
