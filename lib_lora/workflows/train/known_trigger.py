"""Tests whether a base model already paints one certain face for a trigger word, with a few pictures.

A base that knows a word has a person for it, and the LoRA would have to paint over that one first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lib_lora.faces.array_types import Numbers
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.grid.cells import Painter
from lib_lora.likeness.measure.calibration import LEAST_FACES
from lib_lora.pictures import NEGATIVE, Cell
from lib_lora.workflows.command_result import CommandResult

PICTURES = 8  # of each kind
CLOSER = 0.1  # mean cosine by which the faces of a known word are more alike than those of the class word alone
SURE = 0.99  # share of the shuffled sets that must be less alike
_SHUFFLES = 2000


@dataclass(frozen=True)
class TriggerMeaning:
    """What the base makes of a word.

    Attributes:
        alike: mean cosine between the faces painted for the word with the class word, -1..1.
        usual: the same for the class word alone.
        chance: share of random divisions of all these faces into two that are as unequal, 0..1.
        faces: how many could be compared with the word, and without.
    """

    alike: float
    usual: float
    chance: float
    faces: tuple[int, int]

    @property
    def known(self) -> bool:
        """Whether the base paints one face for the word."""
        return self.alike - self.usual > CLOSER and self.chance <= 1 - SURE

    @property
    def said(self) -> str:
        """What was found, in one sentence."""
        compared = f"(likeness among themselves {self.alike:.2f}, without the word {self.usual:.2f})"
        if self.known:
            return f"The base model already paints one certain face for it {compared}; choose another word."
        return f"The base model paints no certain face for it {compared}."


@dataclass(frozen=True)
class PaintSize:
    """How pictures are painted.

    Attributes:
        side: of the square pictures, in pixels.
        cfg, steps: of sampling.
    """

    side: int
    cfg: float = 7.0
    steps: int = 20


def face_for(
    painter: Painter,
    word: str,
    class_word: str,
    size: PaintSize,
    engine: FaceEngine | None = None,
    count: int = PICTURES,
    progress: Callable[[int], None] | None = None,
) -> TriggerMeaning | None:
    """Paint and compare; None where too few faces can be compared.

    Args:
        painter: of the base model.
        word, class_word: the trigger, and what the character is.
        size: how the pictures are painted.
        engine: None = the default one.
        count: of pictures, with the word and without.
        progress: is called with the number of a picture when it is painted.
    """
    texts = [f"portrait photo of {word} {class_word}"] * count + [f"portrait photo of {class_word}"] * count
    cells = [
        Cell(
            text, NEGATIVE, seed=7000 + place % count, width=size.side, height=size.side, steps=size.steps, cfg=size.cfg
        )
        for place, text in enumerate(texts)
    ]
    pictures = painter.paint(cells, (lambda number, _: progress(number)) if progress else None)
    engine = engine or SFaceEngine()
    found = [faces[0].embedding if (faces := engine.faces(picture)) else None for picture in pictures]
    with_word = [one for one in found[:count] if one is not None]
    without = [one for one in found[count:] if one is not None]
    if min(len(with_word), len(without)) < LEAST_FACES:
        return None
    vectors = np.stack([*with_word, *without]).astype(np.float64)
    return compare(vectors, len(with_word))


def compare(vectors: Numbers, first: int) -> TriggerMeaning:
    """How much more alike the first faces are than the others, and how often that happens by chance.

    Args:
        vectors: n x d of unit length; the `first` ones are of the word. A permutation test over which are which.
    """
    cosines = vectors @ vectors.T
    alike, usual = _mean(cosines, np.arange(first)), _mean(cosines, np.arange(first, len(vectors)))
    random, more = np.random.default_rng(0), 0
    for _ in range(_SHUFFLES):
        order = random.permutation(len(vectors))
        more += _mean(cosines, order[:first]) - _mean(cosines, order[first:]) >= alike - usual
    return TriggerMeaning(alike, usual, more / _SHUFFLES, (first, len(vectors) - first))


def _mean(cosines: Numbers, places: npt.NDArray[np.intp]) -> float:
    """Mean over the pairs of two or more places."""
    part = cosines[np.ix_(places, places)]
    count = len(places)
    return float((part.sum() - np.trace(part)) / (count * (count - 1)))


def face_in_base(
    base: Path, word: str, class_word: str, steps: int = 20, progress: Callable[[int], None] | None = None
) -> TriggerMeaning | None:
    """`face_for` with a checkpoint file, painted by diffusers.

    Raises:
        UserError: the file is no model that can be painted with.
    """
    from lib_lora.training.plan.training_request import TrainingRequest
    from lib_lora.workflows.judge.painting.painters import painter_of
    from lib_lora.workflows.train.prepare import plan

    info, train = plan(TrainingRequest(base))
    painter = painter_of(None, info, train)()
    size = PaintSize(info.small_side or info.resolution, info.guidance, steps)
    return face_for(painter, word, class_word, size, progress=progress)


def with_face(result: CommandResult, found: TriggerMeaning | None) -> CommandResult:
    """An answer about a trigger word, and what the base model makes of it."""
    said = found.said if found else "Too few faces came out to tell whether the base model knows one for it."
    values = {**result.values, "base": None if found is None else {**asdict(found), "known": found.known}}
    return CommandResult(f"{result.text}\n{said}", values, result.good and not (found and found.known))
