"""Which step and weight of a run to keep: screened on a few prompts, confirmed on all of them with fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.faces.opencv_engine import SFaceEngine
from lib_lora.files import write_json
from lib_lora.grid.cells import Painter
from lib_lora.grid.paint_plan import PaintPlan
from lib_lora.grid.prompts import PROMPTS, QUICK
from lib_lora.likeness.comparing.choice import Candidate, candidate, choose, surely_worse, to_confirm, with_front
from lib_lora.likeness.report.report import Report
from lib_lora.runs.interruptions import without_interrupted
from lib_lora.runs.search_progress import SearchProgress
from lib_lora.training.plan.run_file import Run, saved_steps
from lib_lora.workflows.judge.grid_report import GridReport
from lib_lora.workflows.judge.grid_run import FIRST_SEED, GridRequest, GridRun
from lib_lora.workflows.judge.scoring import Scored
from lib_lora.workflows.judge.test_grid import paint_and_score

WEIGHTS = (0.6, 0.8, 1.0)
CHECKPOINTS = 6
FRESH_SEED = 5000  # no seed of the screening is among these
CONFIRMED = 3
CHOICE_FILE = "choice.json"
_BROKEN = {  # as `likeness.comparing.choice.candidate` names the limits
    "copies": "too many pictures copy a photo",
    "lost": "too many pictures show another face",
    "no face": "too many pictures show no face",
    "no prompt": "the pictures follow no prompt",
    "not measurable": "too few faces can be measured",
}


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        step, weight: of the winner; None where no cell is good enough.
        sentence: the result in words.
        screened, confirmed: every cell that was painted, on few prompts and on all with fresh seeds.
        worse_p: for each confirmed cell the Holm-corrected p that it is as good as the winner.
        report: path of the winner's confirming report.json.
        kind: its verdict.
    """

    step: int | None
    weight: float | None
    sentence: str
    screened: list[Candidate]
    confirmed: list[Candidate] = field(default_factory=list)
    worse_p: list[float] = field(default_factory=list)
    report: str = ""
    kind: str = ""


@dataclass(frozen=True)
class ChoiceRequest:
    """Among which cells is chosen.

    Attributes:
        steps: checkpoints to try; None = up to six of the saved ones, evenly spread, the last among them, without
            those that only an interruption made (see `interruptions`).
        weights: of the LoRA.
        grid_steps: sampling steps.
        count: prompts of the screening.
    """

    steps: Sequence[int] | None = None
    weights: Sequence[float] = WEIGHTS
    grid_steps: int = 20
    count: int = QUICK


def choose_cell(
    run: Run,
    emit: Callable[..., None],
    request: ChoiceRequest = ChoiceRequest(),
    engine: FaceEngine | None = None,
    painter: Painter | None = None,
    painter_id: str = "",
) -> Scored:
    """Paint, judge and choose. What was painted by an earlier call is not painted again.

    Args:
        run: a trained run.
        emit: for events.
        request: what to try.
        engine: None = the default one.
        painter, painter_id: see `GridRun`.

    Raises:
        UserError: no checkpoint, the base model is gone or another, or memory or disk do not suffice.
    """
    saved = saved_steps(run)
    if not saved:
        raise UserError(
            f"{run.folder} has no checkpoint yet; train it first.", code="checkpoint-none-yet", folder=run.folder
        )
    planned = without_interrupted(run, saved)
    chosen_steps = spread_over(planned, CHECKPOINTS) if request.steps is None else sorted(set(request.steps))
    if missing := [step for step in chosen_steps if step not in saved]:
        raise UserError(
            f"{run.folder} has no checkpoint of step {missing[0]}; there are: {', '.join(map(str, saved))}.",
            code="checkpoint-not-found",
            folder=run.folder,
            step=missing[0],
        )
    grid_run, engine = GridRun(run, emit, painter, painter_id), engine or SFaceEngine()
    cells = [(step, weight) for step in chosen_steps for weight in sorted(set(request.weights))]

    def asked(step: int, weight: float, prompts: int, seed: int) -> GridRequest:
        return GridRequest(step, weight, request.grid_steps, prompts, seed)

    screening = grid_run.to_paint([grid_run.plan(asked(*cell, request.count, FIRST_SEED)) for cell in cells])
    final = grid_run.plan(asked(*cells[-1], len(PROMPTS), FRESH_SEED))  # which cells are confirmed is not known yet
    fresh = [*grid_run.to_paint([PaintPlan({"base": final["base"]}, final.by)]), *[0] * CONFIRMED][:CONFIRMED]
    rounds = grid_run.emit = SearchProgress(
        emit, [*screening, *(len(final["lora"]) + len(final["leak"]) + base for base in fresh)]
    )

    def grid(step: int, weight: float, prompts: int, seed: int) -> GridReport:
        rounds.begin(f"step {step:,} at weight {weight:g}")
        return paint_and_score(run, asked(step, weight, prompts, seed), rounds, False, grid_run, engine)

    screened = with_front([candidate(grid(*cell, request.count, FIRST_SEED).report) for cell in cells])
    tries = [(one.step, one.weight, len(PROMPTS), FRESH_SEED) for one in to_confirm(screened, CONFIRMED)]
    rounds.replan(grid_run.to_paint([grid_run.plan(asked(*one)) for one in tries]))
    finals = [grid(*one) for one in tries]
    choice, winner = _decided(screened, finals)
    write_json(run.grids / CHOICE_FILE, typed_settings.to_dict(choice))
    emit("choice", step=choice.step, weight=choice.weight, text=choice.sentence)
    judged = winner.verdict.judged if winner else any(one.retention is not None for one in screened)
    drift = judged and (winner is None or winner.verdict.drift)
    return Scored(_text(choice, run.grids), typed_settings.to_dict(choice), drift, judged)


def spread_over(steps: Sequence[int], count: int) -> list[int]:
    """At most `count` of the ascending steps, evenly spread, first and last among them."""
    if len(steps) <= count:
        return list(steps)
    places = np.unique(np.linspace(0, len(steps) - 1, count).round().astype(int))
    return [steps[place] for place in places]


def _decided(screened: list[Candidate], finals: Sequence[GridReport]) -> tuple[Choice, Report | None]:
    """What is chosen, and the winner's confirming report."""
    if not finals:
        broken = sorted({reason for one in screened for reason in one.broken})
        nothing = Choice(
            None,
            None,
            f"No step and weight is good enough: {' and '.join(_BROKEN.get(one, one) for one in broken)}. The newest "
            "step's test says what to do next.",
            screened,
        )
        return nothing, None
    confirmed = with_front([candidate(final.report) for final in finals])
    best = choose(confirmed)
    if best is None:
        nothing = Choice(
            None,
            None,
            "What looked good in the screening did not hold on fresh seeds. Follow the advice of the best one: "
            f"{finals[0].report.verdict.advice}",
            screened,
            confirmed,
        )
        return nothing, None
    place = confirmed.index(best)
    winner: Report = finals[place].report
    worse = surely_worse([final.report for final in finals], winner)
    sure = sum(p < 0.05 for number, p in enumerate(worse) if number != place)
    others = len(finals) - 1
    beyond = f"; surely better than {sure} of the {others} next best" if others else ""
    choice = Choice(
        best.step,
        best.weight,
        f"Keep step {best.step} at weight {best.weight:g}: {min(1.0, best.retention or 0.0):.0%} of the identity "
        f"on fresh seeds{beyond}. {winner.verdict.headline}."
        + ("" if winner.verdict.kind == "consistent" else f" {winner.verdict.advice}"),
        screened,
        confirmed,
        worse,
        str(finals[place].folder / "report.json"),
        winner.verdict.kind,
    )
    return choice, winner


def _text(choice: Choice, grids: Path) -> str:
    lines = [choice.sentence, "", "   step  weight  identity        variety  no face  copies  lost  front  breaks"]
    for title, cells in (("screened", choice.screened), ("confirmed on fresh seeds", choice.confirmed)):
        if cells:
            lines += [f"{title}:", *(_line(one) for one in cells)]
    return "\n".join([*lines, f"Report: {choice.report}" if choice.report else f"Reports: {grids}"])


def _line(one: Candidate) -> str:
    kept = "     -      " if one.retention is None else f"{one.retention:5.0%} +- {one.error:3.0%} "
    varied = "   -" if one.variety is None else f"{one.variety:4.0%}"
    return (
        f"{one.step:7d}  {one.weight:6g}  {kept:12s}   {varied:>7s}  {one.no_face:7d}  {one.copies:6d}  {one.lost:4d}  "
        f"{'yes' if one.front else '   ':5s}  {', '.join(one.broken)}".rstrip()
    )
