"""Invents a character, step three: paints further pictures of the picked face until there are enough to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from lib_lora import typed_settings
from lib_lora.captions.slots import AHEAD
from lib_lora.character.store import Character, load
from lib_lora.errors import UserError, typed
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.files import atomic_file, sha256
from lib_lora.grid.cells import Painter
from lib_lora.lora.file.integrity import check_whole
from lib_lora.models.families.model_family import Prediction
from lib_lora.photos.audit.audit_store import photos_to_use
from lib_lora.queue.job_types import BUDGET, COUNT
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workflows.invent import invent_words
from lib_lora.workflows.invent.coverage_plan import (
    SIDES,
    Tried,
    Wish,
    coverage,
    is_enough,
    is_good,
    next_side,
    next_wish,
)
from lib_lora.workflows.invent.generation_strategies import (
    FOREIGN_STRATEGIES,
    STRATEGIES,
    Strategy,
    next_start,
    next_strategy,
    next_variation,
)
from lib_lora.workflows.invent.invent_paint import Each, InventPainter, PictureTask, further_job
from lib_lora.workflows.invent.invent_setting import alone, begin_command, plan_for, silent
from lib_lora.workflows.invent.invented_folder import FROM, InventedFolder, InventedPicture, InventPlan, decided
from lib_lora.workflows.invent.mirrored_views import Views, as_if_mirrored, is_mirrored, to_mirror
from lib_lora.workflows.invent.visible_face import NEAR_COPY, OTHER_FACE, Judge, inspect_face, inspect_file
from lib_lora.workflows.judge.painting.painters import painter_of
from lib_lora.workflows.judge.test_grid import find_run
from lib_lora.workflows.train.prepare import plan as plan_of_base
from lib_lora.workspace.workspace import Workspace

STRANGERS = 20
NEWEST = "newest"
SHOWN = ".shown.png"  # what the picture ends in that says what a base shows of one from elsewhere
WITH_LORA = (Strategy("text"),)
_OUTCOMES = {NEAR_COPY: True, OTHER_FACE: False}  # whether a picture repeats another
_TOGETHER = 4  # pictures of one go: small ones are painted together, and a LoRA is merged for each go


@dataclass(frozen=True)
class MoreRequest:
    """Which further pictures should be painted.

    Attributes:
        count: how many should be kept.
        budget: how many may be painted.
        lora: paint with this file, or with "newest": that of the character's newest run. None = without.
        strangers: how many pictures of the description alone the line is drawn from; candidates count.
        strategies: to paint by; None = those that were measured to be the best.
        mirror: add mirror images of views from one side, where too few from the other side were kept.
    """

    count: int = COUNT
    budget: int = BUDGET
    lora: str | Path | None = None
    strangers: int = STRANGERS
    strategies: Sequence[Strategy] | None = None
    mirror: bool = True


@dataclass(frozen=True)
class _Lora:
    """The LoRA that paints: its file, None where none does, and the SHA-256 of it."""

    file: Path | None
    digest: str


def more(
    root: Path,
    name: str,
    request: MoreRequest = MoreRequest(),
    painter: Painter | None = None,
    engine: FaceEngine | None = None,
    each: Each | None = None,
) -> CommandResult:
    """Paint further pictures of the picked face until enough are kept or the budget is spent.

    Pictures are kept where they show the picked face by the stranger line and repeat no other. Count and budget are
    those of a stage: what was painted without a LoRA, or with one LoRA file, also by earlier commands.

    Args:
        root: the data folder.
        name: of the character.
        request: how many, and what paints.
        painter: who paints; None = diffusers.
        engine: who looks at faces; None = the default one.
        each: is told of every picture.

    Raises:
        UserError: no face was picked, the base model or the LoRA is not there, or a file cannot be written.
        StoppedByUser: stopped; the same command goes on.
    """
    folder = Workspace(root).character(name)
    invented = InventedFolder(folder)
    plan = decided(invented, name, begin_command(name))
    character = load(folder)
    count, budget, lora = request.count, request.budget, request.lora
    again = ["--lora", str(lora)] if lora else []
    file, base, prediction = _lora(root, name, lora, plan)
    info, train = plan_of_base(TrainingRequest(base, prediction=prediction))
    with alone(invented, typed("invent", name, "--more", *again)):
        same = plan_for(root, base, info, plan.describe, plan.seed, plan.steps)
        eye = engine or SFaceEngine()
        shop = InventPainter(invented, same, painter_of(painter, info, train), eye, each or silent)
        others = [
            one for one in shop.candidates(max(request.strangers, 0)) if one.file != plan.picked and invented.has(one)
        ]
        judge = Judge(eye, _anchor(shop, plan), [inspect_file(eye, invented.path / one.file) for one in others])
        before = [one for one in invented.kept(shop.painted) if not is_mirrored(one)]
        judge.keep([(one.photo, inspect_file(eye, folder.photos / one.photo)) for one in before])
        digest = sha256(file) if file else ""
        made = -1
        while made != len(shop.painted):  # of mirror images that were counted on, some may have been refused
            made = len(shop.painted)
            _until_enough(shop, plan, judge, character, request, _Lora(file, digest))
            while request.mirror and (images := to_mirror(_views(shop, digest), count)):
                for one in images:
                    shop.mirror(one, judge, character)
        done = _stage(shop.painted, digest)
        mirrored = _views(shop, digest).mirrored
        kept = invented.kept(shop.painted)
        flagged = judge.fallen
        sheet = invent_words.kept_sheet(invented, [one for one in kept if one.lora == digest], f"Kept of {name}")
    covered = coverage([*_tried(invented, done), *(Tried({}, one.shown) for one in mirrored)], count)
    ours, photos = len(invented.kept(done)), len(photos_to_use(folder))
    outcome = invent_words.MoreOutcome(done, ours, len(mirrored), photos, covered, flagged, sheet)
    text = invent_words.of_more(character, outcome, count, budget, str(base), file is not None)
    values = {
        "step": "more",
        "painted": len(done),
        "kept": ours,
        "mirrored": len(mirrored),
        "photos": photos,
        "not_kept": invent_words.reasons(done),
        "ways": invent_words.by_strategy(done),
        "coverage": [typed_settings.to_dict(one) for one in covered],
        "good_coverage": is_good(covered),
        "budget_spent": len(done) >= budget,
        "flagged": flagged,
        "lines": {"picked": judge.face.line.at, "mean": judge.face.mean_line.at, "drawn_by": judge.face.line.source},
        "sheet": str(sheet),
    }
    return CommandResult(text, values, ours >= count)


def _anchor(shop: InventPainter, plan: InventPlan) -> Path:
    """What further pictures are compared with: the picked picture, or of one from elsewhere what the base shows of it.

    A small base's VAE keeps a likeness of 0.64 of a photo; compared with the photo, no picture of its own would pass.
    """
    picked = shop.invented.path / plan.picked
    if not plan.picked.startswith(f"{FROM}/"):
        return picked
    shown = picked.with_suffix(SHOWN)
    if not shown.is_file():
        rebuilt = shop.reconstructed(picked)
        if rebuilt is None or inspect_face(shop.engine, rebuilt).why:
            return picked
        with atomic_file(shown) as stream:
            rebuilt.save(stream, "PNG")
    return shown


def _until_enough(
    shop: InventPainter,
    plan: InventPlan,
    judge: Judge,
    character: Character,
    request: MoreRequest,
    lora: _Lora,
) -> None:
    invented, digest, count, budget = shop.invented, lora.digest, request.count, request.budget
    who = character.called if lora.file else plan.describe
    while True:
        done = _stage(shop.painted, digest)
        kept = invented.kept(done)
        more_by_mirror = as_if_mirrored(_views(shop, digest), count) if request.mirror else []
        covered = coverage([*_tried(invented, done), *more_by_mirror], count)
        if is_enough(len(kept), covered, count) or len(done) >= budget:
            return
        begun = len(done) % _TOGETHER  # pictures of a go that was ended in its midst
        before = done[: len(done) - begun]  # what the go was decided by, and is again
        roots = _roots(invented, plan, shop.painted, before)
        first = _first_number(shop.painted, done[len(before) :])
        jobs = _jobs(shop, before, roots, _strategies(request, roots, lora), who, count, first)
        shop.further(jobs[begun:][: budget - len(done)], judge, character, lora.file, digest)


def _first_number(painted: Sequence[InventedPicture], begun: Sequence[InventedPicture]) -> int:
    """The number of a go's first picture among all further ones, which is that of its seed.

    Args:
        painted: every picture so far.
        begun: those of the go that are there already; others may have been painted with another LoRA since.
    """
    further = [one.file for one in painted if not one.is_candidate and not is_mirrored(one)]
    return further.index(begun[0].file) if begun else len(further)


def _strategies(request: MoreRequest, roots: Sequence[InventedPicture], lora: _Lora) -> list[Strategy]:
    """The strategies that this request and the pictures allow."""
    foreign = not roots[0].prompt
    there = (
        WITH_LORA
        if lora.file
        else request.strategies or ((*FOREIGN_STRATEGIES, *STRATEGIES) if foreign else STRATEGIES)
    )
    noises = any(one.prompt for one in roots)
    return [one for one in there if noises or not one.of_noise]


@dataclass(frozen=True)
class _Attempt:
    """A picture that was painted, or is about to be: by which way, from which start, for which view, with success or
    not (`_succeeded`)."""

    way: str
    start: str
    angle: str
    succeeded: bool


def _jobs(
    shop: InventPainter,
    done: Sequence[InventedPicture],
    roots: Sequence[InventedPicture],
    strategies: Sequence[Strategy],
    who: str,
    count: int,
    first: int,
) -> list[PictureTask]:
    """The pictures of one go, by one way, so that they can be painted together; the number of the first is `first`.

    The same `done`, the pictures before it, give the same go, so that one that was ended in its midst goes on.

    Views from the side have ways of their own, and of each way it is counted for them alone how often it succeeded: a
    picture that is kept but does not show a side is no success, or what only repeats the front would be tried most.
    They are asked for to the left and to the right by turns. Where no head can be turned to a side, the picture is
    painted by the best of the other ways.
    """
    invented, tried = shop.invented, _tried(shop.invented, done)
    wish: Wish = next_wish(tried, count)
    aside = wish["angle"] in SIDES
    alike = [one for one in done if (one.asked.get("angle") in SIDES) == aside]
    gone = [_Attempt(one.way, one.start, one.asked.get("angle", ""), _succeeded(one, aside)) for one in alike]
    unturned = [one for one in strategies if one.kind != "turn"] or FOREIGN_STRATEGIES
    outcomes = [(one.way, one.succeeded) for one in gone]
    chosen, instead = next_strategy(outcomes, strategies if aside else unturned), next_strategy(outcomes, unturned)
    own = [one for one in alike if one.way.startswith("own ")]
    varied = next_variation([_OUTCOMES.get(one.why) for one in own])
    jobs: list[PictureTask] = []
    for number in range(_TOGETHER):
        wish = next_wish(tried, count, {"angle": (next_side(tried, count) if aside else "ahead",)})
        tried.append(Tried(wish, wish))  # as if it succeeded, so that those of one go differ
        over = _turned(shop, roots, chosen, wish, gone) if chosen.kind == "turn" else None
        start: InventedPicture | None
        if over is not None:
            way, start, wish = chosen, over.root, {**wish, "angle": over.side}
        else:
            way = chosen if chosen.kind != "turn" else instead
            start = _start([one for one in roots if one.prompt or not way.of_noise], way, wish, gone)
        job = further_job(shop.plan, first + number, wish, way, start, invented.path, who)
        if over is not None:
            job = replace(job, cell=replace(job.cell, start=over.picture))
        elif way.kind == "own":
            job = replace(job, cell=replace(job.cell, variation=varied))
        # not as if it succeeded, so that those of one go differ in this too
        gone.append(_Attempt(way.name, job.start, wish["angle"], False))
        jobs.append(job)
    return jobs


def _succeeded(one: InventedPicture, aside: bool) -> bool:
    """Whether a picture brought what was asked of it: it was kept and, if that was a view from the side, shows one."""
    return one.kept and (not aside or one.shown.get("angle") in SIDES)


def _roots(
    invented: InventedFolder, plan: InventPlan, painted: Sequence[InventedPicture], done: Sequence[InventedPicture]
) -> list[InventedPicture]:
    """Pictures that a way may go out from: the picked one, then those of `done` that were kept."""
    foreign = InventedPicture(plan.picked, "", "", "", plan.seed)
    first = next((one for one in painted if one.file == plan.picked), foreign)
    return [first, *(one for one in invented.kept(list(done)) if invented.has(one))]


@dataclass(frozen=True)
class _Turned:
    """A picture whose head was turned to a side, and the root that it was made from."""

    picture: Path
    root: InventedPicture
    side: str


def _turned(
    shop: InventPainter, roots: Sequence[InventedPicture], way: Strategy, wish: Wish, gone: Sequence[_Attempt]
) -> _Turned | None:
    """The first of the roots, as `_start` has them, whose head can be turned; None if there is none.

    To the side that the wish wants, or else to the other one.
    """
    left = list(roots)
    while left:
        root = _start(left, way, wish, gone)
        if root is None:
            return None
        for side in sorted(SIDES, key=lambda side: side != wish["angle"]):
            number = sum((one.way, one.start, one.angle) == (way.name, root.file, side) for one in gone)
            picture = shop.turns.made(root.file, side, number)
            if picture is not None:
                return _Turned(picture, root, side)
        left.remove(root)
    return None


def _start(
    roots: Sequence[InventedPicture], way: Strategy, wish: Wish, gone: Sequence[_Attempt]
) -> InventedPicture | None:
    """The root to go out from by a way, by what was gone out from before for such views; None: it needs none."""
    if way.kind == "text":
        return None
    there = {one.file: one for one in roots}
    fits = {file: _fits(one, way, wish["angle"]) for file, one in there.items()}
    before = [(one.start, one.succeeded) for one in gone if one.way == way.name]
    return there[next_start(before, fits, {file: _nearness(one) for file, one in there.items()})]


def _fits(root: InventedPicture, way: Strategy, angle: str) -> bool:
    """Whether a root looks where the wish wants it; to be turned, whether it looks a little there already."""
    if way.kind != "turn" or angle not in SIDES:
        return root.shown.get("angle") == angle
    return (root.yaw or 0.0) * (-1 if angle == "left" else 1) >= AHEAD


def _nearness(root: InventedPicture) -> float:
    """How near a root is to the picked picture, 0 (on the line) .. 1 (it itself)."""
    if root.to_picked is None or root.picked_line is None:
        return 1.0
    return max(0.0, (root.to_picked - root.picked_line) / (1 - root.picked_line))


def _stage(painted: Sequence[InventedPicture], digest: str) -> list[InventedPicture]:
    """What was painted with a LoRA, or with none; mirror images were not painted."""
    return [one for one in painted if not one.is_candidate and one.lora == digest and not is_mirrored(one)]


def _views(shop: InventPainter, digest: str) -> Views:
    """What there is to mirror of a stage; a picture that the user deleted from ``more`` is there as a photo only."""
    invented, kept = shop.invented, shop.invented.kept(_stage(shop.painted, digest))
    images = [one for one in shop.painted if is_mirrored(one) and one.lora == digest]
    done = {one.start for one in images}
    sources = [one for one in kept if one.file not in done and invented.has(one)]
    return Views(kept, sources, invented.kept(images))


def _tried(invented: InventedFolder, done: Sequence[InventedPicture]) -> list[Tried]:
    there = {one.file for one in invented.kept(list(done))}
    return [Tried(one.asked, one.shown if one.file in there else None) for one in done]


def _lora(root: Path, name: str, lora: str | Path | None, plan: InventPlan) -> tuple[Path | None, Path, Prediction]:
    """The LoRA file to paint with, and the base model: that of its run where it is a run's, else the plan's."""
    ours = Path(plan.base), cast(Prediction, plan.prediction)
    if lora is None:
        return None, *ours
    if str(lora) == NEWEST:
        run, step = find_run(root, name, None, None)
        check_whole(run.checkpoint(step))
        return run.checkpoint(step), Path(run.file.base.path), cast(Prediction, run.file.base.prediction)
    if not Path(lora).is_file():
        raise UserError(f"There is no LoRA file {lora}.", code="lora-missing", file=lora)
    return Path(lora), *ours
