"""Decides whether a picture shows the picked face, when there are only one or a few pictures of it.

`calibration` needs eight photos for its lines; here there may be one, so only the stranger line is drawn (T_id of
docs/likeness.md): above it a face is more alike than strangers are. It is drawn again for the mean of all kept
pictures. And a picture that starts from the picked one must keep half of the way from strangers to it: pictures painted
from its noise are no strangers to it, also where they show somebody else (seen on the small base model), and a chain of
pictures that each resemble the one before cannot wander off. Knows embeddings; does not know who painted what. Pure
functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lib_lora.errors import Misfit
from lib_lora.faces.array_types import Array, Mask, Numbers, Pixels
from lib_lora.faces.picture_descriptors import hamming
from lib_lora.faces.robust_mean import NEAR_COPY, robust_mean
from lib_lora.likeness.measure.calibration import LEAST_FACES, STRANGER_SPREADS, sum_up
from lib_lora.likeness.measure.image_similarity import COPY_BITS, COPY_SSIM, ssim

KEPT = 0.5  # of the way from strangers to the picked picture; of a LoRA's pictures less is called undertrained
# The same of a picture that looks where the picked one looks, since turning the head alone costs likeness: with less, a
# second recogniser found some as far from it as strangers are from each other (docs/inventing.md).
KEPT_ALIKE = 0.57
# The same of a picture that looks less to the side than a picked one from the side: the base model that shows less of
# that side makes another face of it, and the turn of the head hides that from the recogniser (docs/inventing.md).
KEPT_BACK = 0.65
Look = Literal["same", "back", "other"]  # where the picked picture looks; less to the side to which it looks; elsewhere


@dataclass(frozen=True)
class StrangerLine:
    """Where a likeness stops being a stranger's.

    Attributes:
        at: cosine; the highest of all sources.
        source: which source drew it.
        faces: how many strangers that source has; `median` and `q99` of their likenesses.
    """

    at: float
    source: str
    faces: int
    median: float
    q99: float


@dataclass(frozen=True, eq=False)
class OneFace:
    """The picked face and what was kept of it.

    Attributes:
        picked: embedding of the picked picture, unit length.
        lines: of that picture alone (`anchor_line`), by where another looks.
        least: the strangers' 99th percentile, for pictures that have nothing in common with it but the person.
        vector: robust mean of the picked picture and the kept ones, unit length.
        mean_line: of that mean.
        outliers: of the kept ones, those far below the others; they are not in the mean.
    """

    picked: Array
    lines: Mapping[Look, StrangerLine]
    least: float
    vector: Array
    mean_line: StrangerLine
    outliers: Mask

    def likeness(self, embedding: Array) -> float:
        """Cosine to the mean, -1..1."""
        return float(embedding @ self.vector)

    def to_picked(self, embedding: Array) -> float:
        """Cosine to the picked picture, -1..1."""
        return float(embedding @ self.picked)

    @property
    def line(self) -> StrangerLine:
        """Of the picked picture, for pictures that look elsewhere."""
        return self.lines["other"]

    def picked_line(self, related: bool, look: Look = "other") -> float:
        """The line of the picked picture: by where they look for pictures that share its noise or go out from it, else
        `least`."""
        return self.lines[look].at if related else self.least

    def is_same(self, embedding: Array, related: bool = True, look: Look = "other") -> bool:
        """Whether a face is above both lines; `related` and `look` as in `picked_line`."""
        above = self.to_picked(embedding) >= self.picked_line(related, look)
        return above and self.likeness(embedding) >= self.mean_line.at


@dataclass(frozen=True, eq=False)
class FaceSample:
    """What near copies are told by.

    Attributes:
        embedding: of the face, unit length.
        hash: perceptual hash of the whole picture.
        crop: the aligned face in grey, 112 x 112; None where the engine gives none.
    """

    embedding: Array
    hash: int
    crop: Pixels | None


def stranger_line(vector: Array, strangers: Sequence[tuple[str, Array | None]]) -> StrangerLine:
    """T_id of a template: the strangers' 99th percentile, or their median + 3 robust deviations if that is more.

    Args:
        vector: the template, unit length.
        strangers: name and embeddings (n x d) of each source; those of fewer than five faces are left out.

    Raises:
        ValueError: no source has five faces.
    """
    found = []
    for name, embeddings in strangers:
        if embeddings is None or len(embeddings) < LEAST_FACES:
            continue
        scores = sum_up(name, np.asarray(embeddings @ vector, np.float64))
        at = max(scores.q99, scores.median + STRANGER_SPREADS * scores.spread)
        found.append(StrangerLine(at, name, scores.n, scores.median, scores.q99))
    if not found:
        raise Misfit(f"a stranger line needs {LEAST_FACES} strangers", "strangers")
    return max(found, key=lambda one: one.at)


def anchor_line(picked: Array, strangers: Sequence[tuple[str, Array | None]], share: float = KEPT) -> StrangerLine:
    """The line of the picked picture alone: T_id, or a share of the way from the strangers' median to a likeness of 1.

    Raises:
        ValueError: no source has five faces.
    """
    line = stranger_line(picked, strangers)
    return replace(line, at=max(line.at, line.median + share * (1 - line.median)))


def one_face(picked: Array, kept: Array, weights: Numbers, strangers: Sequence[tuple[str, Array | None]]) -> OneFace:
    """The picked face with what was kept so far.

    Args:
        picked: embedding of the picked picture, unit length.
        kept: n x d, unit length; n may be 0.
        weights: of the picked picture and the kept ones, n + 1, positive.
        strangers: see `stranger_line`.

    Raises:
        ValueError: no source of strangers has five faces.
    """
    everyone = np.concatenate([picked[None], kept]) if len(kept) else picked[None]
    mean = robust_mean(everyone, weights)
    mean_line = stranger_line(mean.vector, strangers)
    shares: dict[Look, float] = {"same": KEPT_ALIKE, "back": KEPT_BACK, "other": KEPT}
    lines = {look: anchor_line(picked, strangers, share) for look, share in shares.items()}
    return OneFace(picked, lines, lines["other"].q99, mean.vector, mean_line, mean.outlier[1:])


def near_copy(one: FaceSample, others: Sequence[FaceSample]) -> int | None:
    """Which of `others` shows nearly the same picture; None where none does.

    The faces agree beyond what different pictures of one person do, or the whole picture and the face nearly agree
    (either alone happens by chance, see `traits.is_copy`).
    """
    for number, other in enumerate(others):
        if float(one.embedding @ other.embedding) > NEAR_COPY:
            return number
        alike = one.crop is not None and other.crop is not None and ssim(one.crop, other.crop) > COPY_SSIM
        if alike and hamming(one.hash, other.hash) <= COPY_BITS:
            return number
    return None
