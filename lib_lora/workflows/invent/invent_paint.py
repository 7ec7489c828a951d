"""Paints pictures for an invented character, and saves, inspects, judges and records each.

A picture is first a file, then (if it is kept) a photo with its caption, and last a line in ``painted.jsonl``. Whatever
ends the process in between, the next one meets the file and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from lib_lora import file_permissions
from lib_lora.character import caption_files
from lib_lora.character.photo_files import open_photo
from lib_lora.character.store import Character
from lib_lora.faces.face import FaceEngine
from lib_lora.files import explained
from lib_lora.grid.cells import Painter
from lib_lora.pictures import NEGATIVE, Cell, is_painted_as, parameters_of, save_picture
from lib_lora.workflows.invent import mirrored_views
from lib_lora.workflows.invent.coverage_plan import SIDES, Wish, phrases_of, prompt_of
from lib_lora.workflows.invent.generation_strategies import STRATEGIES, VARIED, Strategy
from lib_lora.workflows.invent.invent_photos import become_photo
from lib_lora.workflows.invent.invented_folder import (
    CANDIDATES,
    MORE,
    TRIALS,
    InventedFolder,
    InventedPicture,
    InventPlan,
)
from lib_lora.workflows.invent.turned_starts import TurnedStarts
from lib_lora.workflows.invent.visible_face import Judge, Judged, VisibleFace, inspect_face
from lib_lora.workflows.invent.visible_traits import MEASURED, contradicts, finer

Each = Callable[[InventedPicture], None]
REPAINTED = 0.6  # denoising strength from which a picture follows its prompt also where that cannot be measured
PATIENCE = 600.0  # seconds that another command (a captioner, say) may hold the photos in the midst of painting
NO_SIDE = "seen from no side"  # of a mirror image, whose points may be found elsewhere
MIRRORED_TEXT = "Mirrored: left to right"  # behind how the picture was painted, in the file of its mirror image
_FURTHER = 100_000  # seeds of further pictures begin so far behind the candidates'
_FRAMINGS = {"close": "close-up portrait", "half": "upper body", "full": "full body"}


@dataclass(frozen=True)
class PictureTask:
    """One picture to paint.

    Attributes:
        cell: how.
        way: by which way; None for candidates.
        asked: what for.
        start: the picture that the way goes out from, relative to the folder; empty = none.
    """

    cell: Cell
    way: Strategy | None = None
    asked: Wish | None = None
    start: str = ""


def candidate_jobs(plan: InventPlan, numbers: Sequence[int]) -> list[PictureTask]:
    """Pictures of the description alone; `numbers` count from 0."""
    cell = _cell(plan, f"photo of {plan.describe}", plan.seed)
    return [PictureTask(replace(cell, seed=(plan.seed + number) % 2**32)) for number in numbers]


def further_job(
    plan: InventPlan,
    number: int,
    wish: Wish,
    way: Strategy,
    start: InventedPicture | None,
    folder: Path,
    who: str,
) -> PictureTask:
    """A further picture of the face.

    Args:
        plan: what was decided.
        number: of the picture, for its seed.
        wish, way: what to paint, and how.
        start: the picture that the way goes out from; needed by all ways but "text".
        folder: that its file is relative to.
        who: a description, or trigger and class word.
    """
    fresh = (plan.seed + _FURTHER + number) % 2**32
    cell = _cell(plan, prompt_of(wish, who), fresh)
    if way.kind == "text" or start is None:
        return PictureTask(cell, way, wish)
    if way.kind != "img2img" and start.prompt:
        turned = way.amount if way.kind == "seed" else VARIED
        cell = replace(cell, seed=start.seed, variation=turned, variation_seed=fresh)
    if way.over:
        cell = replace(cell, start=folder / start.file, strength=way.amount, inverted=way.kind == "turn")
    return PictureTask(cell, way, wish, start.file)


def _cell(plan: InventPlan, prompt: str, seed: int) -> Cell:
    return Cell(
        prompt=prompt,
        negative=NEGATIVE,
        seed=seed % 2**32,
        width=plan.side,
        height=plan.side,
        steps=plan.steps,
        cfg=plan.cfg,
    )


class InventPainter:
    """Paints jobs and writes down what came of them.

    Args:
        invented: the folder.
        plan: what was decided.
        painter: who paints.
        engine: who looks.
        each: is told of every picture once it is written down.
    """

    def __init__(
        self, invented: InventedFolder, plan: InventPlan, painter: Callable[[], Painter], engine: FaceEngine, each: Each
    ) -> None:
        self.invented, self.plan = invented, plan
        self._make_painter, self._painter = painter, None
        self.engine, self.each = engine, each
        self.turns = TurnedStarts(engine, invented.path, plan.side)
        self.painted = invented.painted()

    _painter: Painter | None

    def reconstructed(self, picture: Path) -> Image.Image | None:
        """A picture as the base model's VAE shows it at the painted size; None where the painter has none."""
        side = self.plan.side
        return self._there().reconstruct(open_photo(picture).resize((side, side), Image.Resampling.LANCZOS))

    def _there(self) -> Painter:
        if self._painter is None:
            self._painter = self._make_painter()
        return self._painter

    def candidates(self, count: int) -> list[InventedPicture]:
        """The pictures of the description; what of the first `count` is missing is painted."""
        there = {one.seed: one for one in self.painted if one.is_candidate_of(self.plan)}
        jobs = [job for job in candidate_jobs(self.plan, range(count)) if job.cell.seed not in there]
        self._paint(CANDIDATES, jobs, self._candidate)
        wanted = [job.cell.seed for job in candidate_jobs(self.plan, range(count))]
        there = {one.seed: one for one in self.painted if one.is_candidate_of(self.plan)}
        return [there[seed] for seed in wanted]

    def _candidate(self, file: str, job: PictureTask, seen: VisibleFace) -> InventedPicture:
        return replace(self._noted(file, job), why=seen.why, shown=seen.shown or {}, yaw=seen.yaw, doubt=seen.doubt)

    def trial_view(self, one: InventedPicture, side: str) -> Path | None:
        """A candidate seen from a side ("left" or "right"), painted as `further` would paint it, and only once.

        Returns:
            None where its head cannot be turned so far.

        Raises:
            UserError: a file cannot be read or written.
        """
        start = self.turns.made(one.file, side, 0)
        if start is None:
            return None
        wish, folder = {"framing": "close", "angle": side}, self.invented.path
        job = further_job(self.plan, 0, wish, STRATEGIES[0], one, folder, self.plan.describe)
        file = f"{one.number:04d}-{side}-{self.plan.seed}.png"  # which varies the noise
        cell, path = replace(job.cell, start=start), self.invented.path / TRIALS / file
        if not (path.is_file() and is_painted_as(path, cell)):
            with explained(path):
                file_permissions.make_folder(path.parent)
            save_picture(path, self._there().paint([cell])[0], cell)
        return path

    def further(
        self, jobs: Sequence[PictureTask], judge: Judge, character: Character, lora: Path | None, digest: str
    ) -> None:
        """Paint further pictures; those that show the picked face become photos.

        Args:
            jobs: what to paint.
            judge: of the picked face; learns what is kept.
            character: whose photos they become.
            lora: the file to paint with; None = none. `digest` its SHA-256.
        """

        def decide(file: str, job: PictureTask, seen: VisibleFace) -> InventedPicture:
            result: Judged = judge(seen, related=bool(job.start))
            noted = replace(
                self._noted(file, job),
                lora=digest,
                likeness=result.likeness,
                line=result.line,
                to_picked=result.to_picked,
                picked_line=result.picked_line,
                why=result.why,
                yaw=seen.yaw,
            )
            if result.why:
                return noted
            shown = shown_by(job, seen.shown or {})
            kept = self._as_photo(replace(noted, shown=shown), f"invented-{Path(file).name}", character)
            judge.keep([(kept.photo, seen)])
            return kept

        self._paint(MORE, [replace(job, cell=replace(job.cell, lora=lora)) for job in jobs], decide)

    def mirror(self, one: InventedPicture, judge: Judge, character: Character) -> None:
        """Make the mirror image of a kept picture; it is judged as its original was, and becomes a photo.

        It is named after the original, and is no part of the face that others are judged by.
        """
        source = self.invented.path / one.file
        image, said = ImageOps.mirror(open_photo(source)), f"{parameters_of(source) or ''}, {MIRRORED_TEXT}"

        def is_it(path: Path) -> bool:  # made before a crash
            return parameters_of(path) == said and open_photo(path).tobytes() == image.tobytes()

        file = self.invented.next_file(MORE, is_it, {other.file for other in self.painted})
        if not (self.invented.path / file).exists():
            save_picture(self.invented.path / file, image, _cell(self.plan, one.prompt, one.seed), said)
        seen = inspect_face(self.engine, image)
        result = judge(seen, original=one)
        angle = (seen.shown or {}).get("angle", "")
        noted = replace(
            one,
            file=file,
            way=mirrored_views.WAY,
            start=one.file,
            asked={},
            shown={},
            likeness=result.likeness,
            line=result.line,
            to_picked=result.to_picked,
            picked_line=result.picked_line,
            yaw=seen.yaw,
            why=result.why or ("" if angle in SIDES else NO_SIDE),
            kept=False,
            photo="",
        )
        if not noted.why:
            wanted = f"invented-{Path(one.file).stem}-mirrored.png"
            noted = self._as_photo(replace(noted, shown={**one.shown, "angle": angle}), wanted, character)
        self._write_down(noted)

    def _as_photo(self, one: InventedPicture, wanted: str, character: Character) -> InventedPicture:
        """Put a picture that is kept among the photos, with its caption."""
        caption = caption_of(character, one.shown)
        photo = become_photo(self.invented.character, self.invented.path / one.file, wanted, caption, PATIENCE).name
        return replace(one, kept=True, photo=photo)

    def _write_down(self, one: InventedPicture) -> None:
        self.invented.note(one)
        self.painted.append(one)
        self.each(one)

    def _paint(
        self,
        folder: str,
        jobs: Sequence[PictureTask],
        decide: Callable[[str, PictureTask, VisibleFace], InventedPicture],
    ) -> None:
        taken = {one.file for one in self.painted}
        missing: list[tuple[str, PictureTask]] = []
        for job in jobs:
            file = self.invented.next_file(folder, partial(is_painted_as, cell=job.cell), taken)
            taken.add(file)
            missing.append((file, job))

        def done(file: str, job: PictureTask) -> None:
            self._write_down(decide(file, job, inspect_face(self.engine, open_photo(self.invented.path / file))))

        blank = [(file, job) for file, job in missing if not (self.invented.path / file).exists()]
        for file, job in missing:
            if (file, job) not in blank:
                done(file, job)
        if not blank:
            return

        def each(number: int, picture: object) -> None:
            file, job = blank[number]
            save_picture(self.invented.path / file, picture, job.cell)  # type: ignore[arg-type]
            done(file, job)

        self._there().paint([job.cell for _, job in blank], each)

    def _noted(self, file: str, job: PictureTask) -> InventedPicture:
        cell, plan = job.cell, self.plan
        return InventedPicture(
            file=file,
            base_sha256=plan.base_sha256,
            describe=plan.describe,
            prompt=cell.prompt,
            seed=cell.seed,
            variation=cell.variation,
            variation_seed=cell.variation_seed,
            start=job.start,
            strength=cell.strength,
            way=job.way.name if job.way else "",
            asked=dict(job.asked or {}),
        )


def shown_by(job: PictureTask, measured: dict[str, str]) -> dict[str, str]:
    """What a picture shows, by kind: what was measured, else what was asked for, where nothing speaks against it.

    What cannot be measured is believed only of a picture that was painted again enough to follow its prompt. Where a
    head looks is always measured: between two views it shows neither.
    """
    anew = job.way is None or not job.way.over or job.way.amount >= REPAINTED
    asked = {
        kind: value
        for kind, value in (job.asked or {}).items()
        if not contradicts(measured, kind, value) and ((anew and kind != "angle") or kind in measured)
    }
    kept = {kind for kind, value in asked.items() if anew and finer(measured, kind, value)}
    return {**asked, **{kind: measured[kind] for kind in MEASURED if kind in measured and kind not in kept}}


def caption_of(character: Character, shown: Wish) -> str:
    """The caption of a kept picture: trigger and class word, traits, and what it shows."""
    said = phrases_of({kind: value for kind, value in shown.items() if kind != "framing"})
    framing = _FRAMINGS.get(shown.get("framing", ""), "")
    rest = [phrase for kind, phrase in said.items() if kind != "framing"]
    return ", ".join([caption_files.template(character), *([framing] if framing else []), *rest])
