"""Holds a set of painted pictures with everything that belongs to it, and counts what is simply counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lib_lora.faces.array_types import Array, Numbers
from lib_lora.faces.face import Quality
from lib_lora.likeness.measure.calibration import LEAST_FACES
from lib_lora.likeness.measure.face_measure import Measured
from lib_lora.likeness.verdict.facts import Asked, Training

DRAWN = "style: painting"  # among what a picture was asked to show
DRAWN_REASON = "asked for as a painting, which photos cannot be compared with"


@dataclass(frozen=True, eq=False)
class PictureSet:
    """A set of pictures with what they are compared with.

    Attributes:
        pictures: with the LoRA (or simply the pictures), in the order of `asked`.
        asked: what each was asked to show.
        base: the same prompts and seeds without the LoRA, in the same order; None where they were not painted.
        unpaired: pictures without the LoRA of other prompts, where `base` is None; empty = there are none.
        leak: pictures with the LoRA but without the trigger.
        ceiling: faces of the photos after the base model's VAE at the painted size; their skin is the fairest measure.
        ceiling_lost: share of the photos whose face cannot be judged after the VAE; None where it was not measured.
        adherence: CLIP's text-image cosine of each picture with and without the LoRA; None without CLIP.
        diversity: 1 - mean cosine between CLIP's features of pictures of different prompts, with and without the LoRA;
            None without CLIP.
        clip: the CLIP model behind the two; empty without CLIP.
        training: where in a run they come from.
        sampling_steps: with which most of them were painted, or fewer; None where that is not known.
    """

    pictures: Sequence[Measured]
    asked: Sequence[Asked]
    base: Sequence[Measured] | None = None
    unpaired: Sequence[Measured] = ()
    leak: Sequence[Measured] | None = None
    ceiling: Sequence[Quality] = ()
    ceiling_lost: float | None = None
    adherence: tuple[Sequence[float], Sequence[float]] | None = None
    diversity: tuple[float, float] | None = None
    clip: str = ""
    training: Training = field(default_factory=Training)
    sampling_steps: int | None = None

    @property
    def without(self) -> Sequence[Measured] | None:
        """Pictures without the LoRA, paired or not; None if there are none."""
        return self.base if self.base is not None else self.unpaired or None


def without_drawn(pictures: Sequence[Measured], asked: Sequence[Asked]) -> list[Measured]:
    """The pictures, of which those that were asked for in a painter's style do not count.

    Photos cannot say how alike a painted face should be: brush strokes (``cv2.stylization``) over the very photos take
    SFace's likeness of six people from 0.87..0.92 to 0.29..0.49. Black and white costs 0.02 to 0.05, so it counts.
    """
    return [
        replace(item, score=replace(item.score, reason=DRAWN_REASON))
        if item.score.counts and DRAWN in what.attributes
        else item
        for item, what in zip(pictures, asked, strict=True)
    ]


def most_sampled(steps: Sequence[int | None]) -> int | None:
    """The sampling steps with which more than half of the pictures were painted, or fewer; None where so many do not
    say.

    Args:
        steps: of each picture; None where it is not known.
    """
    known, most = sorted(one for one in steps if one is not None), len(steps) // 2
    return known[most] if most < len(known) else None


def likenesses(pictures: Sequence[Measured]) -> Numbers:
    """The likenesses of the pictures that count."""
    return np.array([item.score.likeness for item in pictures if item.score.counts], np.float64)


def mutual(pictures: Sequence[Measured]) -> float | None:
    """Mean cosine between the faces that count; None for fewer than `LEAST_FACES`."""
    return mean_pair([item.embedding for item in pictures if item.score.counts and item.embedding is not None])


def mean_pair(vectors: Sequence[Array]) -> float | None:
    """Mean cosine between n vectors of unit length; None for fewer than `LEAST_FACES`."""
    count = len(vectors)
    if count < LEAST_FACES:
        return None
    total = np.sum(np.stack(vectors).astype(np.float64), 0)
    return float((total @ total - count) / (count * (count - 1)))


def pairs(pictures: Sequence[Measured], others: Sequence[Measured]) -> Numbers:
    """Likeness minus the other's, over the pairs in which both count."""
    return np.array(
        [
            (one.score.likeness or 0.0) - (other.score.likeness or 0.0)
            for one, other in zip(pictures, others, strict=True)
            if one.score.counts and other.score.counts
        ],
        np.float64,
    )


def paired_cosine(pictures: Sequence[Measured], others: Sequence[Measured]) -> float | None:
    """Mean cosine between a face and its counterpart, over the pairs in which both count; None for fewer than
    `LEAST_FACES`."""
    cosines = [
        float(one.embedding @ other.embedding)
        for one, other in zip(pictures, others, strict=True)
        if one.score.counts and other.score.counts and one.embedding is not None and other.embedding is not None
    ]
    return sum(cosines) / len(cosines) if len(cosines) >= LEAST_FACES else None


def share(hits: int, count: int) -> float | None:
    """The share `hits` / `count`; None where `count` is 0."""
    return hits / count if count else None
