"""Finds the step and weight of a run to keep: screened on a few prompts, confirmed on all of them with fresh seeds.

Whatever test grids of the run are there count as evidence and are not painted again. There is always an answer, and how
sure it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.files import write_json
from lib_lora.grid.cells import Painter
from lib_lora.grid.paint_plan import PaintPlan
from lib_lora.grid.prompts import PROMPTS, SCREENING
from lib_lora.likeness.comparing.choice import (
    Candidate,
    candidate,
    choose,
    least_broken,
    surely_worse,
    to_confirm,
    with_front,
)
from lib_lora.likeness.measure.calibration import LEAST_FACES
from lib_lora.likeness.report.report import Report
from lib_lora.queue.job_types import CHECKPOINTS, CONFIRMED, MORE_STEPS, WEIGHTS
from lib_lora.runs.records.run_history import without_interrupted
from lib_lora.runs.search_progress import SearchProgress
from lib_lora.training.plan.run_file import Run, saved_steps
from lib_lora.workflows.judge.grid_report import GridReport
from lib_lora.workflows.judge.grid_run import FIRST_SEED, GridRequest, GridRun
from lib_lora.workflows.judge.judged_grids import governing_grid
from lib_lora.workflows.judge.scoring import Scored
from lib_lora.workflows.judge.test_grid import paint_and_score
from lib_lora.workflows.photos.character_template import ruler_of
from lib_lora.workspace.grid_files import REPORT_FILE

FRESH_SEED = 5000  # no seed of the screening is among these
CHOICE_FILE = "choice.json"
Certainty = Literal["sure", "likely", "doubtful", "unknown"]
_BROKEN = {  # as `likeness.comparing.choice.candidate` names the limits
    "copies": "too many pictures copy a photo",
    "lost": "too many faces could be a stranger's",
    "no face": "too many pictures show no face",
    "no prompt": "the pictures do not follow their prompts",
    "not measurable": "too few faces can be measured",
}


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        step, weight: of the winner.
        certainty: "sure" = its face holds, and it surely keeps more of it than all others that were confirmed; "likely"
            = its face holds, but another that was confirmed may keep as much, or there was no other; "doubtful" = the
            best there is, though it breaks a limit or its face does not hold; "unknown" = too few faces can be measured
            on fresh seeds, or on any, or the photos allow no verdict.
        sentence: the result in words.
        screened, confirmed: every cell that was tried, on few prompts and on all with fresh seeds.
        worse_p: for each confirmed cell the Holm-corrected p that it is as good as the winner.
        report: path of the winner's confirming report.json.
        kind: its verdict.
    """

    step: int
    weight: float
    certainty: Certainty
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
    count: int = SCREENING


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
    weights = sorted(set(request.weights))
    search = _Search(run, grid_run, engine, request, emit)
    search.screen([(step, weight) for step in chosen_steps for weight in weights])
    search.confirm()
    if request.steps is None:
        for _ in range(MORE_STEPS):
            step = search.advised()
            if step not in saved or step in search.steps:
                break
            search.screen([(step, weight) for weight in weights])
            search.confirm()
    choice, winner = search.decided()
    write_json(run.grids / CHOICE_FILE, typed_settings.to_dict(choice))
    emit("choice", step=choice.step, weight=choice.weight, text=choice.sentence)
    judged = choice.certainty != "unknown"
    drift = judged and (choice.certainty == "doubtful" or winner.verdict.drift)
    return Scored(_text(choice), typed_settings.to_dict(choice), drift, judged)


class _Search:
    """The cells that were tried so far.

    Attributes:
        screened: the report of each cell that was screened, `confirmed` of each that was painted on fresh seeds.
        comparable: false where a whole test draws no lines; then no other cell is painted, for none can be judged.
    """

    def __init__(
        self, run: Run, grid_run: GridRun, engine: FaceEngine, request: ChoiceRequest, emit: Callable[..., None]
    ) -> None:
        self._run, self._grid_run, self._engine, self._request = run, grid_run, engine, request
        self._saved = saved_steps(run)
        self._ruler = ruler_of(run.character_folder, engine)
        self._rounds = grid_run.emit = SearchProgress(emit, [])
        self.screened: dict[tuple[int, float], GridReport] = {}
        self.confirmed: dict[tuple[int, float], GridReport] = {}
        self.comparable = True

    @property
    def steps(self) -> set[int]:
        """That were tried."""
        return {step for step, _ in self.screened}

    def screen(self, cells: Sequence[tuple[int, float]]) -> None:
        """Judge cells on the first prompts, by the lines of a whole test grid: the last cell's where there is none."""
        asked = [self._asked(cell, FIRST_SEED) for cell in cells]
        whole = self._asked(cells[-1], FIRST_SEED, True)
        plan = self._grid_run.plan(whole)
        if governing_grid(self._run, self._grid_run.base, plan, self._run.grids, self._ruler) is None:
            asked = [whole, *asked]
        # which cells are confirmed is not known yet
        final = self._grid_run.plan(self._asked(cells[-1], FRESH_SEED, True))
        base = self._grid_run.to_paint([PaintPlan({"base": final["base"]}, final.by)])
        fresh = [*base, *[0] * CONFIRMED][:CONFIRMED]
        planned = [
            *self._grid_run.to_paint([self._grid_run.plan(one) for one in asked]),
            *(len(final["lora"]) + len(final["leak"]) + more for more in fresh),
        ]
        self._rounds.replan(planned)
        for one in asked:
            found = self._grid(one)
            if one is whole:
                if found.report.calibration.lines is None:
                    self.comparable = False
                    self.screened[cells[-1]] = found
                    return
                continue
            if found.report.facts.pictures.counted < LEAST_FACES and one.count < whole.count:
                more = replace(one, count=whole.count)  # enough prompts for the loss of most faces
                found = self._grid(more, self._grid_run.to_paint([self._grid_run.plan(more)])[0])
            self.screened[one.step, one.weight] = found

    def confirm(self) -> None:
        """Paint the best of the screened cells again."""
        best = to_confirm(self._candidates(), CONFIRMED) if self.comparable else []
        tries = [(one.step, one.weight) for one in best]
        tries = [cell for cell in tries if cell not in self.confirmed]
        asked = [self._asked(cell, FRESH_SEED, True) for cell in tries]
        self._rounds.replan(self._grid_run.to_paint([self._grid_run.plan(one) for one in asked]))
        for cell, one in zip(tries, asked, strict=True):
            self.confirmed[cell] = self._grid(one)

    def advised(self) -> int | None:
        """The step that the best cell's verdict names; None where it advises something else."""
        return self._best()[1].report.verdict.named_step

    def decided(self) -> tuple[Choice, Report]:
        """What is chosen, and the report that says most about it."""
        best, judged = self._best()
        winner, finals = judged.report, list(self.confirmed.values())
        worse = surely_worse([final.report for final in finals], winner)
        others = [p for final, p in zip(finals, worse, strict=True) if final is not judged]
        sure = sum(p < 0.05 for p in others)
        certainty: Certainty = (
            "unknown"
            if best.retention is None
            else "doubtful"
            if not best.feasible or winner.verdict.drift or not winner.verdict.judged
            else "sure"
            if others and sure == len(others)
            else "likely"
        )
        kept = f"{min(1.0, max(0.0, best.retention or 0.0)):.0%} of the identity on fresh seeds"
        broken = " and ".join(_BROKEN.get(one, one) for one in best.broken)
        beyond = _surely_better(sure, len(others))
        said = {
            "sure": f"{kept}{beyond}. {winner.verdict.headline}.",
            "likely": f"{kept}{beyond}. {winner.verdict.headline}.",
            "doubtful": f"it is the best of the {len(self.screened)} tried, but doubtful: "
            f"{broken or winner.verdict.headline.lower()} ({kept}{beyond}).",
            "unknown": f"{self._unmeasured()}. {winner.verdict.because}",
        }[certainty]
        choice = Choice(
            best.step,
            best.weight,
            certainty,
            f"Keep step {best.step} at weight {best.weight:g}: {said}{self._advice(best, winner)}",
            self._candidates(),
            with_front([candidate(final.report) for final in finals]),
            worse,
            str(judged.folder / REPORT_FILE),
            winner.verdict.kind,
        )
        return choice, winner

    def _unmeasured(self) -> str:
        """What an unknown choice is, where none of the confirmed cells could be measured."""
        if not self.comparable:
            return "no step and weight can be judged, so this is only the usual choice"
        if any(one.retention is not None for one in self._candidates()):
            return "on fresh seeds too few faces can be measured, so this is not confirmed"
        tried = len(self.screened)
        return f"with none of the {tried} tried can enough faces be measured, so this is only the usual choice"

    def _advice(self, best: Candidate, winner: Report) -> str:
        """What else to do; nothing where it is a cell that was tried, or one that cannot be."""
        verdict = winner.verdict
        step = verdict.named_step
        cell = (best.step, verdict.value) if verdict.action == "set_weight" else (step, best.weight)
        tried = verdict.action == "keep" or cell in self.screened
        gone = step is not None and step not in self._saved
        return "" if tried or gone else f" {verdict.advice}"

    def _best(self) -> tuple[Candidate, GridReport]:
        """The best confirmed cell and its report; where none can be judged, the one that was tried."""
        found = self.confirmed or self.screened
        known = [candidate(one.report) for one in found.values()]
        best = choose(known) or least_broken(known)
        return best, found[best.step, best.weight]

    def _candidates(self) -> list[Candidate]:
        return with_front([candidate(self.screened[cell].report) for cell in sorted(self.screened)])

    def _asked(self, cell: tuple[int, float], seed: int, whole: bool = False) -> GridRequest:
        """A cell on the first prompts, or on all, and then without the trigger too."""
        count = max(self._request.count, len(PROMPTS)) if whole else self._request.count
        return GridRequest(*cell, self._request.grid_steps, count, seed, leak=whole)

    def _grid(self, asked: GridRequest, unplanned: int | None = None) -> GridReport:
        self._rounds.begin(f"step {asked.step:,} at weight {asked.weight:g}", unplanned)
        return paint_and_score(self._run, asked, self._rounds, False, self._grid_run, self._engine)


def spread_over(steps: Sequence[int], count: int) -> list[int]:
    """At most `count` of the ascending steps, evenly spread, first and last among them."""
    if len(steps) <= count:
        return list(steps)
    places = np.unique(np.linspace(0, len(steps) - 1, count).round().astype(int))
    return [steps[place] for place in places]


def _surely_better(sure: int, others: int) -> str:
    """How many of the other confirmed cells the chosen one is surely better than, in words; empty for none."""
    if not sure:
        return ""
    if sure < others:
        return f"; surely better than {sure} of the {others} next best"
    return f"; surely better than the {'next best' if others == 1 else f'{others} next best'}"


def _text(choice: Choice) -> str:
    lines = [choice.sentence, "", "   step  weight  identity        variety  no face  copies  lost  front  breaks"]
    for title, cells in (("screened", choice.screened), ("confirmed on fresh seeds", choice.confirmed)):
        if cells:
            lines += [f"{title}:", *(_line(one) for one in cells)]
    return "\n".join([*lines, f"Report: {choice.report}"])


def _line(one: Candidate) -> str:
    kept = "     -      " if one.retention is None else f"{one.retention:5.0%} +- {one.error:3.0%} "
    varied = "   -" if one.variety is None else f"{one.variety:4.0%}"
    return (
        f"{one.step:7d}  {one.weight:6g}  {kept:12s}   {varied:>7s}  {one.no_face:7d}  {one.copies:6d}  {one.lost:4d}  "
        f"{'yes' if one.front else '   ':5s}  {', '.join(one.broken)}".rstrip()
    )
