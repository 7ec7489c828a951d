"""Measures whether pictures show what the prompt asked for: turned heads, expressions, surroundings.

Pure functions. Says nothing of a picture whose face cannot be judged. One thing that is not given says nothing about a
LoRA, since the base model may not do it either; a set that follows its prompts in nothing that the base model does is
a verdict (`followed`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lib_lora.faces.array_types import Array
from lib_lora.faces.face import Quality
from lib_lora.faces.picture_descriptors import hellinger
from lib_lora.likeness.measure.calibration import LEAST_FACES
from lib_lora.likeness.measure.face_measure import ImageScore, Measured
from lib_lora.likeness.verdict.facts import Asked, PromptFacts
from lib_lora.likeness.verdict.picture_set import PictureSet
from lib_lora.likeness.verdict.traits import TURNED
from lib_lora.messages.message import Message

Seen = tuple[str, Asked, ImageScore]  # a picture's path, what it was asked to show, and what was measured
LEAST_TURNING = 0.1  # standard deviation of `faces.face.yaw_proxy`: base pictures that turn less say nothing of turning
_SERIOUS = ("expression: serious", "expression: neutral")
_SMILING = "expression: smiling"


@dataclass(frozen=True)
class Missed:
    """One thing that was asked for and not always given.

    Attributes:
        what: "turned head", "serious" or "smiling".
        asked: in how many pictures.
        measured: in how many of these it can be told.
        given: in how many of those it is there.
        pictures: paths of those where it is not.
        base_measured, base_given: the same of the pictures without the LoRA; None where there are none.
        text: a sentence that says all of it.
    """

    what: str
    asked: int
    measured: int
    given: int
    pictures: list[str] = field(default_factory=list)
    base_measured: int | None = None
    base_given: int | None = None
    text: str = ""


@dataclass(frozen=True)
class _Request:
    """One thing that can be asked for and measured.

    Attributes:
        what: see `Missed`.
        words: "Asked to ...".
        yes: what the pictures that show it do; `no` what the others do.
        wants: whether a picture was asked for it.
        shows: whether a face shows it; None where that cannot be told.
    """

    what: str
    words: str
    yes: str
    no: str
    wants: Callable[[Asked], bool]
    shows: Callable[[Quality], bool | None]


def _serious(face: Quality) -> bool | None:
    return face.expression == "serious" if face.expression else None


def _smiles(face: Quality) -> bool | None:
    return face.expression != "serious" if face.expression else None


_WISHES = (
    _Request(
        "turned head",
        "turn the head",
        "turned",
        "looks ahead",
        lambda asked: asked.angle == "turned",
        lambda face: abs(face.yaw) >= TURNED,
    ),
    _Request("serious", "be serious", "serious", "smiles", lambda asked: _any_of(asked, _SERIOUS), _serious),
    _Request("smiling", "smile", "smiling", "serious", lambda asked: _SMILING in asked.attributes, _smiles),
)


def missed(pictures: Sequence[Seen], base: Sequence[Seen] = ()) -> list[Missed]:
    """What was asked for and not given in at least one picture.

    Args:
        pictures: with the LoRA.
        base: without it; empty = none were painted.
    """
    found = []
    for wish in _WISHES:
        asked = [(path, score) for path, what, score in pictures if wish.wants(what)]
        judgeable = [(path, shown) for path, score in asked if (shown := _shows(wish, score)) is not None]
        without = [shown for _, what, score in base if wish.wants(what) and (shown := _shows(wish, score)) is not None]
        if all(shown for _, shown in judgeable):
            continue
        one = Missed(
            what=wish.what,
            asked=len(asked),
            measured=len(judgeable),
            given=sum(shown for _, shown in judgeable),
            pictures=[path for path, shown in judgeable if not shown],
            base_measured=len(without) if without else None,
            base_given=sum(without) if without else None,
        )
        found.append(replace(one, text=str(message(one))))
    return found


def remarks(asked: Asked, score: ImageScore) -> list[str]:
    """What one picture was asked to show and does not: "asked to turn the head, looks ahead"."""
    return [
        f"asked to {wish.words}, {wish.no}" for wish in _WISHES if wish.wants(asked) and _shows(wish, score) is False
    ]


def followed(shown: PictureSet) -> PromptFacts:
    """How far a set with its base pictures follows its prompts; nothing where no base pictures were painted."""
    if shown.base is None:
        return PromptFacts()
    words, base = _words(shown.asked, shown.pictures), _words(shown.asked, shown.base)
    facts = PromptFacts(
        judgeable=len(words),
        given=sum(words),
        judgeable_base=len(base),
        given_base=sum(base),
        turning=_turning(shown.pictures, shown.base),
        scene=_scene(shown.pictures, shown.base),
    )
    obeyed = None
    if len(words) >= LEAST_FACES and base and 2 * sum(base) >= len(base):  # else it asks for what is not painted anyway
        obeyed = min(1.0, (sum(words) / len(words)) / (sum(base) / len(base)))
    known = [share for share in (obeyed, facts.turning, facts.scene) if share is not None]
    return replace(facts, followed=sum(known) / len(known)) if len(known) > 1 else facts


def _words(asked: Sequence[Asked], pictures: Sequence[Measured]) -> list[bool]:
    """For each thing that was asked for and can be judged, whether it is there."""
    return [
        there
        for wish in _WISHES
        for what, item in zip(asked, pictures, strict=True)
        if wish.wants(what) and (there := _shows(wish, item.score)) is not None
    ]


def _turning(pictures: Sequence[Measured], base: Sequence[Measured]) -> float | None:
    """The slope of the heads' turns on those of the base model's pictures of the same prompt and seed, 0..1; None where
    too few can be compared, or the base model's turn too little."""
    both = [
        (one.score.face.yaw, other.score.face.yaw)
        for one, other in zip(pictures, base, strict=True)
        if one.score.face and other.score.face and not (one.score.face.fault or other.score.face.fault)
    ]
    if len(both) < LEAST_FACES:
        return None
    ours, theirs = np.array(both, np.float64).T
    if theirs.std() < LEAST_TURNING:
        return None
    slope = float(((ours - ours.mean()) * (theirs - theirs.mean())).mean() / theirs.var())
    return min(1.0, max(0.0, slope))


def _scene(pictures: Sequence[Measured], base: Sequence[Measured]) -> float | None:
    """How much nearer each picture's surroundings are to those of the base model's picture of its prompt than to those
    of other prompts, as a share of what the base model's pictures differ by, 0..1; None where too few can be compared.

    The surroundings are colours (`image_similarity.surroundings`): background, light and clothes.
    """
    known: list[tuple[Array, Array]] = [
        (one.surroundings, other.surroundings)
        for one, other in zip(pictures, base, strict=True)
        if one.surroundings is not None and other.surroundings is not None
    ]
    if len(known) < LEAST_FACES:
        return None
    apart = np.array([[hellinger(ours, theirs) for _, theirs in known] for ours, _ in known])
    among = np.array([[hellinger(one, other) for _, other in known] for _, one in known])
    others = ~np.eye(len(known), dtype=bool)
    if among[others].mean() < 1e-6:
        return None
    nearer = (apart[others].mean() - apart.diagonal().mean()) / among[others].mean()
    return float(min(1.0, max(0.0, nearer)))


def _shows(wish: _Request, score: ImageScore) -> bool | None:
    if score.face is None or score.face.fault or not score.counts:
        return None
    return wish.shows(score.face)


def message(one: Missed) -> Message:
    """What was missed as one sentence, which a page can translate."""
    wish = next(wish for wish in _WISHES if wish.what == one.what)
    parts = [(wish.yes, one.given), (wish.no, one.measured - one.given), (_UNCLEAR, one.asked - one.measured)]
    base = {"given": one.base_given, "measured": one.base_measured}
    return Message(
        f"Asked to {wish.words}{_ASKED}",
        {
            "times": _times(one.asked),
            "parts": [
                Message(f"{said}{_HOW_OFTEN}", {"times": _times(count)})
                for said, count in parts
                if count or said == wish.no
            ],
            "without": Message(f"{_WITHOUT}{wish.yes}{_OF}", base) if one.base_measured else "",
        },
        one.what,
    )


_ASKED, _HOW_OFTEN = " {times}: {parts}.{without}", " {times}"
_WITHOUT, _OF = " Without the LoRA: ", " in {given} of {measured}."
_UNCLEAR = "not clear"
_TIMES, _MANY_TIMES = ("never", "once", "twice"), "{n} times"


def _times(count: int) -> Message:
    return Message(_TIMES[count]) if count < len(_TIMES) else Message(_MANY_TIMES, {"n": count})


def templates() -> Iterator[str]:
    """The templates of `message`, and of its parts."""
    for wish in _WISHES:
        yield f"Asked to {wish.words}{_ASKED}"
        yield from (f"{said}{_HOW_OFTEN}" for said in (wish.yes, wish.no))
        yield f"{_WITHOUT}{wish.yes}{_OF}"
    yield from (f"{_UNCLEAR}{_HOW_OFTEN}", *_TIMES, _MANY_TIMES)


def _any_of(asked: Asked, attributes: Sequence[str]) -> bool:
    return any(one in asked.attributes for one in attributes)
