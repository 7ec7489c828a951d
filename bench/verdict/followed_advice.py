"""Bringing about what the verdict advises against, following the advice to the letter, and measuring what it did.

Everything goes through the functions that the command line and the tab use: real trainings, painted test grids, their
reports. What is measured beside the verdict is independent of it: photos that are neither in the training nor in the
template, and a second recogniser (`bench.second_recogniser`). `bench.verdict.advice` says which states are brought
about, and counts.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.second_recogniser import SecondRecogniser
from lib_lora.character.photo_files import open_photo
from lib_lora.faces.array_types import Array
from lib_lora.likeness.report.report import Report
from lib_lora.likeness.verdict.picture_set import DRAWN
from lib_lora.likeness.verdict.verdict import weight_to_test
from lib_lora.pictures import parameters_of
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.judge.grid_run import GridRequest
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workspace.grid_files import REPORT_FILE
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    from lib_lora.faces.engines.opencv_engine import SFaceEngine
    from lib_lora.grid.cells import Painter
    from lib_lora.training.plan.run_file import Run

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors"
TRAINED, SPARE, HELD_OUT = 14, 4, 6  # of a person's photos: trained on at first, to be added, never shown to anything
SAMPLING = 6  # steps of painting; the small base model's pictures look the same after 5 as after 20
THUMBNAIL = 16  # pixels of a picture of which it is asked how far it is from the others
RATES = ("unet_lr", "te_lr")
# What follows where the advice goes on with "if it is no better", or is for the user alone: times the learning rate.
ANEW = {
    "collapsed, earlier step": 1 / 3,
    "collapsed": 1 / 3,
    "follows no prompt, earlier step": 1 / 3,
    "follows no prompt": 1 / 3,
    "LoRA blurs, earlier step": 1 / 3,
    "spoiled, earlier step": 1 / 3,
    "spoiled": 1 / 3,
    "LoRA blurs": 1 / 3,
    "faces break, earlier step": 1 / 2,
    "faces break": 1 / 2,
    "undertrained, later step is worse": 1 / 2,
    "slightly under, later step is worse": 1 / 2,
    "trained on in vain": 2.0,
    "slightly under, trained on in vain": 2.0,
}

# These rules name output preservation; with plain captions for whoever wants less of a leak, after having some written.
CAPTIONS_FIRST, PRESERVED = "leak, plain captions", "output preservation"
LEAKS = (CAPTIONS_FIRST, "leak, not preserved")
OUTSIDE = ", outside a run"  # how rules end whose advice is to check prompt and weight

# What an advice says for a new run, where it goes on with "for a new run": times the learning rate.
NEW_RUN = {"halve the learning rate": 1 / 2, "use a third of the learning rate": 1 / 3}


@dataclass(frozen=True)
class AdvisedPerson:
    """Somebody whose photos are shared out.

    Attributes:
        name: of the character.
        class_word: "woman" or "man".
        photos: at least `TRAINED` + `SPARE` + `HELD_OUT` files.
        turned: photos of the turned head, which are added where that is advised; empty = there are none.
    """

    name: str
    class_word: str
    photos: Sequence[Path]
    turned: Sequence[Path] = ()

    @property
    def trained(self) -> Sequence[Path]:
        """Those of the character at first."""
        return self.photos[:TRAINED]

    @property
    def spare(self) -> Sequence[Path]:
        """Those that are added where that is advised."""
        return self.photos[TRAINED : TRAINED + SPARE]

    @property
    def held_out(self) -> Sequence[Path]:
        """Those that nothing sees but the yardstick."""
        return self.photos[TRAINED + SPARE : TRAINED + SPARE + HELD_OUT]


@dataclass(frozen=True)
class TestedGrid:
    """A judged test grid."""

    run: Run
    request: GridRequest
    folder: Path
    report: Report

    @property
    def kept(self) -> float:
        """Share of the identity that the report says is kept; 0 where nothing could be judged."""
        return self.report.facts.identity.retention_best or 0.0


class AdviceYardstick:
    """How alike pictures are to held-out photos, by both recognisers.

    Likeness is to the mean of the held-out photos (cosine; negative distance), scaled so that 0 is the mean of the base
    model's pictures and 1 that of the photos that were trained on.
    """

    def __init__(self, person: AdvisedPerson, base: Sequence[Path]) -> None:
        described = [_described(path) for path in person.held_out]
        self._means = tuple(np.mean([one[n] for one in described if one], axis=0) for n in (0, 1))
        zero, one = (self._plain(files) for files in (base, person.trained))
        self._zero, self._length = zero, one - zero
        photos = [found[2] for path in person.held_out if (found := _described(path))]
        self._skin = np.median(photos, axis=0)

    def _plain(self, files: Sequence[Path]) -> Array:
        found = [one for path in files if (one := _described(path))]
        return np.asarray(np.mean([self._likeness(one) for one in found], axis=0))

    def _likeness(self, described: tuple[Array, Array, Array]) -> Array:
        first, second = self._means
        cosine = float(described[0] @ first) / float(np.linalg.norm(first))
        return np.array([cosine, -float(np.linalg.norm(described[1] - second))])

    def of(self, path: Path) -> dict[str, float]:
        """Of one picture: likeness by the first and the second recogniser (0 without a face), whether there is a
        `face`, and how far contrast and colour of the face are from the photos' (`burnt`, in logarithms)."""
        found = _described(path)
        if found is None:
            return {"first": 0.0, "second": 0.0, "face": 0.0, "burnt": 0.0}
        first, second = (self._likeness(found) - self._zero) / self._length
        burnt = float(np.abs(np.log(found[2] / self._skin)).sum())
        return {"first": float(first), "second": float(second), "face": 1.0, "burnt": burnt}


def _described(path: Path) -> tuple[Array, Array, Array] | None:
    """SFace's embedding and dlib's descriptor of the largest face, and its contrast and colour; None without one."""
    image = open_photo(path)
    faces = _engine().faces(image)
    if not faces:
        return None
    return faces[0].embedding, _second().describe(image, faces[0].box), _surface(faces[0].crop)


def _surface(crop: Any) -> Array:
    """Standard deviation of the luminance, and mean distance from grey, of an aligned face (RGB)."""
    luma, blue, red = np.moveaxis(np.asarray(Image.fromarray(crop).convert("YCbCr"), np.float64), -1, 0)
    return np.array([luma.std() + 1.0, np.hypot(blue - 128, red - 128).mean() + 1.0])


def apart(pictures: Sequence[Array]) -> list[float]:
    """Mean distance of each small picture (height x width x 3, 0..255) from the others."""
    flat = np.stack([picture.ravel().astype(np.float64) for picture in pictures])
    table = np.abs(flat[:, None] - flat[None]).mean(-1)
    return [float(value) for value in table.sum(1) / (len(flat) - 1)]


class Workplace:
    """One person's data folder, in which runs are made and tested.

    Args:
        person: whose.
        folder: where; emptied before and after.
        kept: keeps for further workplaces what is the same in all: encoded photos, the base model's pictures.
        photos: how many of `person.trained` the character has at first.
    """

    def __init__(self, person: AdvisedPerson, folder: Path, kept: Path, photos: int = TRAINED) -> None:
        self.person, self.root, self._kept = person, folder / "data", kept
        shutil.rmtree(folder, ignore_errors=True)
        self.add(person.trained[:photos])
        if kept.is_dir():
            shutil.copytree(kept, self._cache, dirs_exist_ok=True)
        self._yard: AdviceYardstick | None = None
        self._runs: dict[str, Run] = {}

    def add(self, photos: Sequence[Path]) -> None:
        """Take photos in."""
        self._take_in(self.root, photos)

    def _take_in(self, root: Path, photos: Sequence[Path]) -> None:
        name = self.person.name
        who = NewCharacter(name, self.trigger, self.person.class_word, "fictional")
        new_character(root, who, photos)

    @property
    def trigger(self) -> str:
        """The trigger word."""
        return f"{self.person.name[:2]}x{self.person.name[2]}"

    def train(self, overrides: dict[str, Any], anew: bool = False) -> Run:
        """A new run of the preset with these settings laid over it, trained to its end; one that there is, unless
        `anew` (the photos have changed)."""
        from lib_lora.workflows.train.prepare import start_run

        key = repr(sorted(overrides.items()))
        if anew or key not in self._runs:
            request = TrainingRequest(BASE, None, {**overrides, "samples": 0, "keep_states": 1}, few=True)
            run = start_run(self.root, self.person.name, request)
            self._finish(run)
            self._runs[key] = run
        return self._runs[key]

    def go_on(self, run: Run, steps: int) -> Run:
        """`resume RUN --steps STEPS`."""
        from lib_lora.runs.reopen import reopen

        longer = reopen(run.folder, self.root, steps=steps)
        self._finish(longer)
        return longer

    def _finish(self, run: Run) -> None:
        from lib_lora.workflows.train.main_job import finish_run

        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            finish_run(lambda: run, watch=_silent)

    def test(self, run: Run, request: GridRequest, again: bool = False) -> TestedGrid:
        """`grid`; `again` judges anew what was judged before (without painting it anew)."""
        from lib_lora.workflows.judge.grid_run import GridRun
        from lib_lora.workflows.judge.test_grid import paint_and_score

        studio = GridRun(run, _silent, _painters[0] if _painters else None)
        if not _painters:
            _painters.append(studio.painter)
        found = paint_and_score(run, request, _silent, again=False, grid_run=studio, engine=_engine())
        if again:
            (found.folder / REPORT_FILE).unlink()
            found = paint_and_score(run, request, _silent, again=False, grid_run=studio, engine=_engine())
        return TestedGrid(run, request, found.folder, found.report)

    def caption(self) -> None:
        """`caption NAME --fill`."""
        from lib_lora.workflows.photos.fill_captions import fill

        fill(self.root, self.person.name, engine=_engine())

    def score(self, tested: TestedGrid) -> TestedGrid:
        """`score FOLDER`: the pictures of a test grid that were painted with the LoRA, by themselves and as a program
        leaves them that calls the LoRA otherwise than any run of SameFace's."""
        from lib_lora.workflows.judge.scoring import judge_files

        character = Workspace(self.root).character(self.person.name)
        folder, copies = _as_elsewhere(tested)
        report, _ = judge_files(_engine(), character, self.person.name, copies)
        return replace(tested, folder=folder, report=report)

    def score_alone(self, tested: TestedGrid, base: Path | None = None) -> TestedGrid:
        """`score FOLDER`, or `score FOLDER --base FILE`: as `score`, for a character who has photos and no run."""
        from lib_lora.workflows.judge.scoring import judge_files

        alone = self.root.with_name("alone")
        if not alone.is_dir():
            self._take_in(alone, self.person.trained)
        character = Workspace(alone).character(self.person.name)
        folder, copies = _as_elsewhere(tested)
        report, _ = judge_files(
            _engine(), character, self.person.name, copies, base=None if base is None else str(base)
        )
        return replace(tested, folder=folder, report=report)

    def choose(self, run: Run, sampling: int) -> dict[str, Any]:
        """`choose RUN`: what it found, in plain values."""
        from lib_lora.workflows.judge.choose import ChoiceRequest, choose_cell

        painter = _painters[0] if _painters else None
        return choose_cell(run, _silent, ChoiceRequest(grid_steps=sampling), _engine(), painter).values

    def follow(self, tested: TestedGrid) -> tuple[TestedGrid, str] | None:
        """Do what the report advises: what came of it, and what was done; None where nobody could do it here.

        Where the advice goes on with "if it is no better, train again", the training follows if the report says that
        no more of the identity is kept. Where photos of turned heads come second,
        they are added at once.
        """
        verdict, run, request = tested.report.verdict, tested.run, tested.request
        value = verdict.value or 0.0
        if "sampling steps" in verdict.advice and request.steps < SAMPLING:
            return self.test(run, replace(request, steps=SAMPLING)), f"{SAMPLING} sampling steps"
        if verdict.rule in LEAKS:
            fresh = verdict.rule == CAPTIONS_FIRST
            if fresh:
                self.caption()
            return self._anew(tested, {"preservation_weight": value}, fresh), PRESERVED
        if verdict.rule.endswith(OUTSIDE):
            return self.score(self.test(run, replace(request, weight=1.0))), "weight 1, from elsewhere"
        match verdict.action:
            case "train_more":
                return self._more_steps(tested, int(value))
            case "set_weight":
                return self._at_weight(tested, value)
            case "paint_larger":
                side = 2 * (request.side or run.file.settings.resolution)
                return self.test(run, replace(request, side=side)), f"{side} pixels"
            case "test_step" | "use_step":
                weight = weight_to_test(int(value), request.step, request.weight)
                after = self.test(run, replace(request, step=int(value), weight=weight))
                said = f"step {int(value)}" + (f", weight {weight:g}" if weight != request.weight else "")
                if verdict.rule in ANEW and after.kept <= tested.kept:
                    factor = ANEW[verdict.rule]
                    return self._again(tested, factor), f"{said}, then {factor:.2f} x the rate"
                return after, said
            case "add_photos" if wants_turned_heads(verdict.advice):
                return self.with_turned_heads(tested) if self.person.turned else None
            case "add_photos" if not self._spare_taken:
                return self._with_spare(tested)
        if verdict.rule in ANEW:
            return self._again(tested, ANEW[verdict.rule]), f"{ANEW[verdict.rule]:.2f} x the rate"
        if verdict.rule.endswith(", class pictures"):
            return self._anew(tested, {"class_photos": None}), "without class pictures"
        return None

    def follow_for_a_new_run(self, tested: TestedGrid) -> tuple[TestedGrid, str] | None:
        """Do what the report advises for a new run; None where it says nothing about one."""
        for words, factor in NEW_RUN.items():
            if f"for a new run {words}" in tested.report.verdict.advice:
                return self._again(tested, factor), f"{factor:.2f} x the rate"
        return None

    def _more_steps(self, tested: TestedGrid, more: int) -> tuple[TestedGrid, str]:
        """Trained on for so many steps, and tested at the last."""
        request = tested.request
        steps = (tested.report.facts.training.last or request.step) + more
        then = replace(request, step=steps, weight=weight_to_test(steps, request.step, request.weight))
        said = f"{more} more steps" + (", weight 1" if request.weight > 1 else "")
        return self.test(self.go_on(tested.run, steps), then), said

    def _at_weight(self, tested: TestedGrid, weight: float) -> tuple[TestedGrid, str]:
        """Another weight, and what the advice says for the case that it stays as it is."""
        after, said = self.test(tested.run, replace(tested.request, weight=weight)), f"weight {weight:g}"
        training, rule = tested.report.facts.training, tested.report.verdict.rule
        earlier = training.midway or training.usable_step
        if after.report.verdict.rule != rule:
            return after, said
        if rule in ANEW:
            return self._again(tested, ANEW[rule]), f"{said}, then {ANEW[rule]:.2f} x the rate"
        if "earlier checkpoint" in tested.report.verdict.advice and earlier:
            return self.test(tested.run, replace(tested.request, step=earlier)), f"{said}, then step {earlier}"
        return after, said

    @property
    def _spare_taken(self) -> bool:
        photos = Workspace(self.root).character(self.person.name).photos
        return all((photos / path.name).exists() for path in self.person.spare)

    def _with_spare(self, tested: TestedGrid) -> tuple[TestedGrid, str]:
        """Add photos; where too few were the reason, the LoRA is only tested again."""
        if tested.report.verdict.rule == "few photos":
            self.add([*self.person.trained, *self.person.spare[:1]])
            return self.test(tested.run, tested.request), f"{TRAINED + 1} photos"
        self.add(self.person.spare)
        return self._anew(tested, {}), f"{SPARE} photos more, trained again"

    def with_turned_heads(self, tested: TestedGrid) -> tuple[TestedGrid, str]:
        """Add photos of turned heads, and train again."""
        self.add(self.person.turned)
        return self._anew(tested, {}, fresh=True), f"{len(self.person.turned)} photos of turned heads, trained again"

    def _again(self, tested: TestedGrid, factor: float) -> TestedGrid:
        """Trained again with `factor` times the learning rate."""
        settings = tested.run.file.settings
        return self._anew(tested, {name: getattr(settings, name) * factor for name in RATES})

    def _anew(self, tested: TestedGrid, changes: dict[str, Any], fresh: bool = False) -> TestedGrid:
        """A new run with the settings of a run and some changes, tested at its last step; `fresh`: the captions have
        changed since a run with such settings."""
        settings = tested.run.file.settings
        run = self.train({**_asked(settings), **changes}, anew=fresh or self._spare_taken)
        return self.test(run, replace(tested.request, step=_last(run)))

    def measured(self, tested: TestedGrid) -> dict[str, Any]:
        """A test in plain values: what the report says, and the yardstick's values of each picture."""
        report, facts = tested.report, tested.report.facts
        rows = [row for row in report.of("lora") if DRAWN not in row.asked.attributes]
        if self._yard is None:
            self._yard = AdviceYardstick(self.person, [tested.folder / row.path for row in report.of("base")])
        yard, files = self._yard, [tested.folder / row.path for row in rows]
        small = [np.asarray(open_photo(path).convert("RGB").resize((THUMBNAIL, THUMBNAIL))) for path in files]
        found = [yard.of(path) for path in files]
        pictures: dict[str, list[float]] = {name: [one[name] for one in found] for name in found[0]}
        pictures["variety"] = apart(small)
        pictures["judged"] = [float(row.score.counts and report.verdict.judged) for row in rows]
        without = [yard.of(tested.folder / row.path) for row in report.of("leak")]
        pictures["leak"] = [(one["first"] + one["second"]) / 2 for one in without]
        pictures["own"] = [float(not row.copy) for row in rows]
        if self.person.turned:
            pictures["asked to turn"] = [float(row.asked.angle == "turned") for row in rows]
            faces = [_engine().faces(open_photo(path)) for path in files]
            pictures["yaw"] = [there[0].yaw if there else 0.0 for there in faces]
        line = facts.lines.keep
        return {
            "step": tested.request.step, "weight": tested.request.weight, "rule": report.verdict.rule,
            "kind": report.verdict.kind, "advice": report.verdict.advice, "kept": facts.identity.retention_best,
            "holds": bool(line is not None and (facts.identity.likeness or 0.0) >= line),
            "counted": facts.pictures.counted,
            "followed": facts.prompt.followed, "varied": facts.variety.ratio, "copies": facts.copies.count,
            "uplift": facts.base.uplift, "alike": facts.base.alike, "mutual": facts.identity.mutual,
            "pictures": {name: [round(value, 4) for value in values] for name, values in pictures.items()},
        }  # fmt: skip

    @property
    def _cache(self) -> Path:
        return Workspace(self.root).character(self.person.name).cache

    def end(self) -> None:
        """Delete everything but what is kept."""
        shutil.copytree(self._cache, self._kept, dirs_exist_ok=True)
        shutil.rmtree(self.root.parent)


def drifts_when_turned(rule: str) -> bool:
    """Whether a rule says that turned heads drift, or that the face does: where few photos show turned heads, or the
    training lacks steps."""
    return rule.startswith("angles") or rule in (
        "drift, few turned photos",
        "drift, higher weight",
        "drift, unfinished training",
    )


def wants_turned_heads(advice: str) -> bool:
    """Whether an advice is to add photos of turned heads."""
    return "head turned" in advice


def frontal_first(person: AdvisedPerson) -> AdvisedPerson:
    """The same person, trained on the photos in which they look ahead the most; held out are the last of the
    others, in their order."""
    ahead = sorted(person.photos, key=lambda path: abs(_engine().faces(open_photo(path))[0].yaw))[:TRAINED]
    return replace(person, photos=[*ahead, *(path for path in person.photos if path not in ahead)])


def _as_elsewhere(tested: TestedGrid) -> tuple[Path, list[Path]]:
    """Copies of the pictures that were painted with the LoRA, as a program leaves them that calls it otherwise."""
    folder = tested.folder.with_name(f"{tested.folder.name}-elsewhere")
    folder.mkdir(exist_ok=True)
    files = [tested.folder / row.path for row in tested.report.of("lora")]
    return folder, [_called_otherwise(path, folder / path.name) for path in files]


def _called_otherwise(path: Path, copy: Path) -> Path:
    """A copy of a picture whose parameters call the LoRA by a name that no run has given."""
    text, count = re.subn(r"<lora:[^:>]+:", "<lora:somebody:", parameters_of(path) or "")
    if count != 1:
        raise ValueError(f"{path} does not say with which LoRA it was painted")
    about = PngInfo()
    about.add_itxt("parameters", text)
    with Image.open(path) as picture:
        picture.save(copy, "PNG", pnginfo=about)
    return copy


def _asked(settings: TrainSettings) -> dict[str, Any]:
    """What of a run's settings is given again for a new one."""
    return {
        "steps": settings.steps, "passes": settings.passes, "save_every": settings.save_every,
        "lr_schedule": settings.lr_schedule, "unet_lr": settings.unet_lr, "te_lr": settings.te_lr,
        "class_photos": settings.class_photos, "preservation_weight": settings.preservation_weight,
    }  # fmt: skip


def _last(run: Run) -> int:
    from lib_lora.training.plan.run_file import saved_steps

    return saved_steps(run)[-1]


def _silent(kind: str, **fields: Any) -> None:
    """Nobody listens."""


_painters: list[Painter] = []  # one for all runs of a process: the base model is the same


@lru_cache(maxsize=1)
def _engine() -> SFaceEngine:
    from lib_lora.faces.engines.opencv_engine import SFaceEngine

    return SFaceEngine()


@lru_cache(maxsize=1)
def _second() -> SecondRecogniser:
    return SecondRecogniser()
