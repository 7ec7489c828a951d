"""Invents a character, steps one and two: paints candidates of a description, and takes one of them (or a picture).

`invent_more` paints further pictures of the picked face. Every step can be given again: what is done is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from lib_lora.captions import trigger_words
from lib_lora.character import caption_files
from lib_lora.character.photo_files import list_photos, open_photo
from lib_lora.character.store import create, load
from lib_lora.errors import UserError, typed
from lib_lora.faces.array_types import Box
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.files import atomic_file, sha256, slug
from lib_lora.grid.cells import Painter
from lib_lora.models.families.identify import identify
from lib_lora.models.families.model_family import Prediction
from lib_lora.queue.job_types import CANDIDATES
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workflows.invent import invent_words
from lib_lora.workflows.invent.coverage_plan import SIDES
from lib_lora.workflows.invent.good_candidates import best_start, good_candidates
from lib_lora.workflows.invent.invent_paint import Each, InventPainter
from lib_lora.workflows.invent.invent_photos import become_photo, copy, free_file, square_part
from lib_lora.workflows.invent.invent_setting import FIRST_SEED, STEPS, alone, begin_command, plan_for, silent
from lib_lora.workflows.invent.invented_folder import (
    FROM,
    SQUARE,
    InventedFolder,
    InventedPicture,
    InventPlan,
    with_face,
)
from lib_lora.workflows.invent.visible_face import Judge, VisibleFace, inspect_face, inspect_file
from lib_lora.workflows.judge.painting.painters import painter_of
from lib_lora.workflows.photos.caption_commands import taken_words
from lib_lora.workflows.photos.new_character import NewCharacter, declared
from lib_lora.workflows.train.prepare import asked_for
from lib_lora.workflows.train.prepare import plan as plan_of_base
from lib_lora.workspace.workspace import CharacterFolder, Workspace

Look = Callable[[Path], VisibleFace]
MOST_TRIALS = 6  # candidates that are painted from the side; where there are more than usual, the same share of them


@dataclass(frozen=True)
class CandidatesRequest:
    """Which candidates should be painted.

    Attributes:
        describe: who should be visible ("a woman with short red hair, 30 years old").
        base: the checkpoint.
        count: of candidates; with more than before only the further ones are painted.
        seed: of the first candidate.
        steps: of sampling.
        prediction: overrides what the checkpoint says of itself.
        trials: of how many faces, at most, views from the side are painted, to point out one that keeps them; None =
            `MOST_TRIALS`.
    """

    describe: str
    base: Path
    count: int = CANDIDATES
    seed: int = FIRST_SEED
    steps: int = STEPS
    prediction: Prediction | None = None
    trials: int | None = None


@dataclass(frozen=True)
class OwnPicture:
    """A picture of the user's that a face is taken from, in place of a candidate.

    Attributes:
        file: the picture.
        base: the checkpoint to paint with; None is refused.
        describe: who should be visible; None = "a" and the class word.
        prediction: overrides what the checkpoint says of itself.
    """

    file: Path
    base: Path | None
    describe: str | None = None
    prediction: Prediction | None = None


def candidates(
    root: Path,
    name: str,
    request: CandidatesRequest,
    painter: Painter | None = None,
    engine: FaceEngine | None = None,
    each: Each | None = None,
    trying: Each | None = None,
) -> CommandResult:
    """Paint candidates for a face from a description; what was painted before is not painted again.

    Args:
        root: the data folder.
        name: of the new character.
        request: who should be seen, and what paints.
        painter: who paints; None = diffusers.
        engine: who looks at faces; None = the default one.
        each: is told of every candidate.
        trying: is told of every candidate that is about to be painted from a side.

    Raises:
        UserError: the character has its face already, the base is no model, or a file cannot be written.
        StoppedByUser: stopped; the same command goes on.
    """
    invented = InventedFolder(Workspace(root).character(name))
    describe, base, count = request.describe, request.base, request.count
    if not describe.strip():
        raise UserError(
            'Describe the person, for example --describe "a woman with short red hair, 30 years old".',
            code="description-missing",
        )
    info, train = plan_of_base(TrainingRequest(base, prediction=request.prediction))
    invented.prepare()
    again = ["--describe", describe, "--base", str(base), "--candidates", str(count), "--seed", str(request.seed)]
    with alone(invented, typed("invent", name, *again)):
        there = invented.plan
        if there and there.picked:
            raise UserError(
                f"{name!r} already has its face; paint more of it with: {typed('invent', name, '--more')}, or choose "
                "another name.",
                code="character-has-face",
                character=name,
            )
        see_that_it_is_nobody_yet(invented.character, name)
        plan = plan_for(root, base, info, describe.strip(), request.seed, request.steps)
        invented.decide(plan)
        eye = engine or SFaceEngine()
        shop = InventPainter(invented, plan, painter_of(painter, info, train), eye, each or silent)
        found = shop.candidates(count)
        look = cache(partial(inspect_file, eye))  # each candidate is compared with every other one
        alike = alike_others(invented, found, look)
        sheet = invent_words.candidates_sheet(invented, found, f"Candidates for {name}")

        def turns(one: InventedPicture) -> bool | None:
            (trying or silent)(one)
            return _keeps_its_face_from_a_side(shop, found, look, one)

        usual = max(MOST_TRIALS, MOST_TRIALS * count // CANDIDATES)
        best = best_start(good_candidates(found, alike), turns, usual if request.trials is None else request.trials)
        text = invent_words.of_candidates(name, found, alike, sheet, best)
    values = {
        "step": "candidates",
        "sheet": str(sheet),
        "candidates": [
            {"number": one.number, "file": str(invented.path / one.file), "why_not": one.why,
             "doubt": one.doubt, "alike": alike.get(one.number)}
            for one in found
        ],
        "best": best.picture.number if best else None,
        "best_turns": best.turns if best and best.tried else None,
    }  # fmt: skip
    return CommandResult(text, values, any(not one.why for one in found))


def pick(
    root: Path,
    who: NewCharacter,
    number: int | None = None,
    own: OwnPicture | None = None,
    engine: FaceEngine | None = None,
) -> CommandResult:
    """Take one candidate, or a picture of the user's, for the face; the character is made.

    Args:
        root: the data folder.
        who: the character that is made.
        number: of the candidate.
        own: a picture instead of a candidate.
        engine: who looks at faces; None = the default one.

    Raises:
        UserError: no such candidate, no clear face in it, another one was picked before, the character exists with
            other words or another consent, or another process is at work on its photos.
    """
    name, place = who.name, Workspace(root).character(who.name)
    invented, eye = InventedFolder(place), engine or SFaceEngine()
    character = who.checked()
    picture = own.file if own else None
    if own is not None and picture is not None:
        base = own.base
        if base is None:
            raise UserError(
                "Name the checkpoint that paints further pictures with --base.", code="base-model-not-chosen"
            )
        seen = asked_for(TrainingRequest(base, prediction=own.prediction))
        # not planned: that loads torch, into the page's process too
        info = seen.info if seen.certain else identify(base, own.prediction)
        square = _square_of(eye, picture)
        invented.prepare()
    elif number is None:
        raise UserError("Choose a candidate with --pick, or a picture with --from.", code="candidate-not-chosen")
    if not invented.path.is_dir():
        raise UserError(_no_candidates(name), code="candidates-missing", character=name)
    with alone(invented, typed("invent", name, "--more")):
        there = invented.plan
        if own is not None and picture is not None:
            describe = own.describe or f"a {who.class_word.strip()}"
            plan = plan_for(root, cast(Path, own.base), info, describe, FIRST_SEED, STEPS)
            original = free_file(invented.path / FROM, picture, slug(picture.stem))
            file = original if square is None else original.with_suffix(SQUARE)
        else:
            if there is None:
                raise UserError(_no_candidates(name), code="candidates-missing", character=name)
            plan = there
            original = file = invented.path / _candidate(invented, plan, cast(int, number)).file
        picked = file.relative_to(invented.path).as_posix()
        # a picture that is not square was once picked as it is
        if not (there and there.picked):  # after a stop in the midst of this, the photo may be there already
            see_that_it_is_nobody_yet(place, name, picture or original)
        if there and there.picked not in ("", picked, original.relative_to(invented.path).as_posix()):
            raise UserError(
                f"{name!r} already has its face ({invented.path / there.picked}); choose another name.",
                code="character-has-face",
                character=name,
            )
        folder = create(root, character)
        character = declared(folder, load(folder), character.consent)
        if picture is not None:
            _take_over(picture, original, square, file)
        photo = become_photo(folder, original, f"picked-{original.name}", caption_files.template(character))
        invented.decide(with_face(plan, picked))
    values = {"step": "picked", "photo": str(photo), "folder": str(folder.path)}
    taken = taken_words([], root, but=folder)
    problems = trigger_words.check(character.trigger, taken).problems
    return CommandResult(invent_words.of_picked(character, photo, problems), {**values, "trigger_problems": problems})


def _keeps_its_face_from_a_side(
    shop: InventPainter, found: Sequence[InventedPicture], look: Look, one: InventedPicture
) -> bool | None:
    """Whether a view from the left or the right, painted of a candidate, is what `invent_more` would keep; one side is
    enough, because the other can be mirrored. None where none can be painted or looked at."""
    others = [other for other in found if other.file != one.file and shop.invented.has(other)]
    try:
        seen_others = [look(shop.invented.path / other.file) for other in others]
        judge = Judge(shop.engine, shop.invented.path / one.file, seen_others)
        for side in SIDES:
            picture = shop.trial_view(one, side)
            if picture is None:
                continue
            seen = look(picture)
            if (seen.shown or {}).get("angle") in SIDES and not judge(seen).why:
                return True
    except UserError:
        return None  # the candidates are there all the same
    return False


def alike_others(invented: InventedFolder, found: Sequence[InventedPicture], look: Look) -> dict[int, float]:
    """For each candidate with a clear face the cosine to the most alike other one; `look` inspects a file."""
    good = [one for one in found if not one.why and invented.has(one)]
    samples = [look(invented.path / one.file).sample for one in good]
    vectors = [one.embedding for one in samples if one is not None]
    if len(vectors) < 2 or len(vectors) != len(good):
        return {}
    cosines = np.stack(vectors) @ np.stack(vectors).T
    np.fill_diagonal(cosines, -1)
    return {one.number: round(float(row.max()), 4) for one, row in zip(good, cosines, strict=True)}


def see_that_it_is_nobody_yet(folder: CharacterFolder, name: str, picture: Path | None = None) -> None:
    """Raises: UserError: the character has photos, and the face is not that of `picture`, one of them."""
    photos = list_photos(folder.photos) if folder.photos.is_dir() else []
    if photos and (picture is None or sha256(picture) not in {sha256(photo) for photo in photos}):
        raise UserError(
            f"{name!r} has {len(photos)} photo{'' if len(photos) == 1 else 's'} already, and a face from elsewhere "
            "would be another person among them; choose another name, or start from one of them with --from.",
            code="character-has-photos",
            character=name,
        )


def _candidate(invented: InventedFolder, plan: InventPlan, number: int) -> InventedPicture:
    """The candidate of that number, if it was painted from the plan's description by its base model."""
    painted = {one.number: one for one in invented.painted() if one.is_candidate}
    there = {one.number: one for one in painted.values() if one.is_candidate_of(plan)}
    if number not in there:
        known = f"there is {', '.join(str(one) for one in there)}" if there else "none is painted yet"
        if number in painted:
            raise UserError(
                f"Candidate {number} was painted from another description or base model; {known}.",
                code="candidate-outdated",
                candidate=number,
            )
        raise UserError(f"There is no candidate {number}; {known}.", code="candidate-not-found", candidate=number)
    if there[number].why:
        raise UserError(
            f"Candidate {number} cannot be picked ({there[number].why}); pick another one.",
            code="candidate-unusable",
            candidate=number,
        )
    return there[number]


def _square_of(engine: FaceEngine, picture: Path) -> Image.Image | None:
    """The square part of a picture that will be painted over; None where it is a square.

    Raises:
        UserError: it cannot be read, or shows no clear face.
    """
    image = open_photo(picture)
    box = _box_of_face(inspect_face(engine, image), picture.name)
    if image.width == image.height:
        return None
    square = square_part(image, box)
    _box_of_face(inspect_face(engine, square), f"{picture.name}, cut to a square,")
    return square


def _box_of_face(seen: VisibleFace, name: str) -> Box:
    if seen.why or seen.box is None:
        raise UserError(
            f"{name} cannot be the starting picture ({seen.why}); use one that shows one clear face.",
            code="picture-without-clear-face",
            file=name,
        )
    return seen.box


def _take_over(picture: Path, original: Path, square: Image.Image | None, file: Path) -> None:
    """Keep the user's picture as it is, and beside it the square part of one that is none."""
    if not original.exists():
        copy(picture, original)
    if square is not None:
        with atomic_file(file) as stream:
            square.save(stream, "PNG")


def _no_candidates(name: str) -> str:
    return f"There are no candidates for {name!r} yet; paint some with: {begin_command(name)}"
