"""Measures a few pictures at some checkpoints of a training: the four numbers of a LoRA while it trains.

They are the first prompts of the test grid, painted in fewer steps and judged as the grid is; so the curve says where
the training stands, and the test of a finished LoRA says it more surely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lib_lora.character.photo_files import list_photos
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.grid.cells import base_cells, leak_cells, test_cells
from lib_lora.grid.prompts import PROMPTS
from lib_lora.likeness.measure.face_measure import Measured, Measurer
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.measure.vae_ceiling import Ceiling, ceiling_of, faces_of, lost_of, scores_of
from lib_lora.likeness.report.four_numbers import four_numbers
from lib_lora.likeness.verdict.facts import Asked, Facts
from lib_lora.likeness.verdict.metrics import facts_of
from lib_lora.likeness.verdict.picture_set import PictureSet, without_drawn
from lib_lora.likeness.verdict.rule_conditions import HALF
from lib_lora.runs.events import read_events
from lib_lora.training.plan.checkpoint_test import LEAK_PICTURES, CheckpointTest, EarlyStop, Reconstruct
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.grid_report import asked_of, judge_has_trained
from lib_lora.workflows.judge.judged_grids import lines_for
from lib_lora.workflows.photos.character_template import template_of
from lib_lora.workspace.preferences import chosen_engine

# of `PROMPTS`: faces from the front and turned, serious and smiling; no whole bodies, whose faces are too small
SHOWN: tuple[str, ...] = (
    "close, plain",
    "street, smiling",
    "coat in the park",
    "studio, serious",
    "three-quarter view",
    "turned right, laughing",
)
FIRST_SEED = 7000  # not those of the test grid, which would then see what was chosen
PATIENCE = 2  # measured checkpoints in which likeness must rise
NOTICEABLE = 0.01  # of identity; a smaller rise does not count
_JUDGE_HAS_TRAINED = (
    "The recogniser that measures the likeness curve also trains this LoRA (identity loss), so the curve may show too "
    "much likeness, and Stop early may go by that. With InsightFace (Doctor), the judge is independent."
)


def curve_of(run: Run, emit: Callable[..., None]) -> CheckpointTest | None:
    """What is painted and measured while a run is trained; None where its settings do not ask for it.

    Args:
        run: to be trained.
        emit: gets a ``likeness`` event for each checkpoint that is measured.
    """
    if not run.file.settings.likeness_curve:
        return None
    character, numbers = run.file.character, [n for n, prompt in enumerate(PROMPTS) if prompt.name in SHOWN]
    grid = test_cells(character, run.file.settings.resolution, first_seed=FIRST_SEED)
    cells = [grid[number] for number in numbers]
    planned = {
        "lora": cells,
        "leak": leak_cells(cells, character)[:LEAK_PICTURES],
        "base": base_cells(cells, character),
    }
    curve = LikenessCurve(run, emit, [asked_of(cell) for cell in cells], lambda: chosen_engine(run.workspace.root))
    return CheckpointTest(planned, curve, curve.check, curve.known)


class LikenessCurve:
    """Judges the pictures of checkpoints.

    Args:
        run: that is trained.
        emit: for events.
        asked: what each picture with the LoRA is asked to show.
        engine: makes what finds and describes faces, before anything is painted.

    Attributes:
        known: steps that were measured before.
        identities: by step, shares of what can be kept; since the training was last continued after its end.
    """

    def __init__(
        self, run: Run, emit: Callable[..., None], asked: Sequence[Asked], engine: Callable[[], FaceEngine]
    ) -> None:
        self.run, self.emit, self.asked, self._make = run, emit, asked, engine
        self._with: tuple[FaceEngine, Template] | None = None
        self._warned = False
        self._base: list[Measured] = []
        self._ceiling: list[Ceiling] = []
        said = [event for event in read_events(run.events) if event["kind"] == "likeness"]
        self.known = {step for event in said if isinstance(step := event.get("step"), int)}
        self.identities: dict[int, float] = {}
        for event in said:
            step, identity = event.get("step"), event.get("identity")
            if isinstance(step, int) and isinstance(identity, (int, float)) and step > run.file.restart:
                self.identities[step] = identity

    def check(self) -> None:
        """See that there is something to compare with; warn, once, where the judge is part of the training.

        Raises:
            UserError: no photo shows a face, or there are too few photos for a verdict.
        """
        engine, template = self._compared()
        lines = lines_for(template)
        if lines.refusal:
            raise UserError(str(lines.refusal), code="likeness-not-measurable")
        if judge_has_trained(self.run, engine.id) and not self._warned:
            self._warned = True
            self.emit("warning", code="judge-has-trained", text=_JUDGE_HAS_TRAINED)

    def _compared(self) -> tuple[FaceEngine, Template]:
        if self._with is None:
            engine = self._make()
            self._with = (engine, template_of(self.run.character_folder, engine))
        return self._with

    def __call__(self, step: int, files: Mapping[str, Sequence[Path]], reconstruct: Reconstruct) -> EarlyStop | None:
        """Measure a checkpoint; says where more training is of no use (`no_longer_rises`).

        Args:
            step: optimizer steps done.
            files: pictures by role (`CheckpointTest.cells`).
            reconstruct: the base model's VAE, there and back.

        Raises:
            UserError: no photo shows a face, or a file cannot be read.
        """
        began = time.perf_counter()
        facts = self._facts(files, reconstruct)
        numbers = four_numbers(facts)
        shares = {number.code: number.value for number in numbers}
        counts = {"faces": facts.pictures.counted, "pictures": facts.pictures.count}
        why = "; ".join(dict.fromkeys(str(number.why_not) for number in numbers if number.why_not))
        self.emit("likeness", step=step, **shares, **counts, why=why, seconds=time.perf_counter() - began)
        identity = shares["identity"]
        self.identities = {at: value for at, value in self.identities.items() if at < step}
        if identity is not None:
            self.identities[step] = identity
        if not no_longer_rises(self.identities):
            return None
        best = to_keep(self.identities)
        return EarlyStop(f"Likeness has not risen noticeably since step {best}.", best)

    def _facts(self, files: Mapping[str, Sequence[Path]], reconstruct: Reconstruct) -> Facts:
        engine, template = self._compared()
        measure = Measurer(engine, template)
        self._base = self._base or without_drawn(measure(list(files["base"])), self.asked)
        shown = without_drawn(measure(list(files["lora"])), self.asked)
        sizes = [item.score.face.px for item in (*shown, *self._base) if item.score.face]
        if sizes and not self._ceiling:
            self._ceiling = ceiling_of(
                engine, template, list_photos(self.run.character_folder.photos), sizes, reconstruct
            )
        top = self._ceiling
        pictures = PictureSet(
            shown,
            self.asked,
            base=self._base,
            leak=measure(list(files["leak"])),
            ceiling=faces_of(top),
            ceiling_lost=lost_of(top),
        )
        return facts_of(pictures, template, lines_for(template, self._base, ceiling=scores_of(top) if top else None))


def to_keep(identities: Mapping[int, float]) -> int:
    """The first measured step that keeps as much of the face as any, but for what is not noticeable: the LoRA with the
    least training does the rest of a prompt best.

    Args:
        identities: as in `no_longer_rises`; not empty.
    """
    most = max(identities.values())
    return min(step for step, identity in identities.items() if identity > most - NOTICEABLE)


def no_longer_rises(identities: Mapping[int, float]) -> bool:
    """Whether a face that is half learned is noticeably more so at none of the last `PATIENCE` measured steps.

    Args:
        identities: by step, shares of what can be kept.
    """
    values = [identities[step] for step in sorted(identities)]
    before, last = values[:-PATIENCE], values[-PATIENCE:]
    return bool(before) and max(before) >= HALF and max(last) < max(before) + NOTICEABLE
