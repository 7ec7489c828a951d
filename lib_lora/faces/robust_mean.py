"""Computes the mean of a person's face embeddings so that a stranger among them does not spoil it.

Pure functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib_lora.faces.array_types import Array, Mask, Numbers

LEAST_SPREAD = 0.03  # standard deviation of leave-one-out scores within one person; less is luck of a small set
TRIM = 3.5  # robust standard deviations below the median: an outlier
MOST_DROPPED = 0.2  # of the photos, rounded up
GENUINE = 0.05  # cosine above the strangers' 99th percentile from which an outlier is a hard photo of the same person
NEAR_COPY = 0.97  # cosine; different pictures of one person were seen up to 0.957, copies in JPEG from 0.98


@dataclass(frozen=True, eq=False)
class Robust:
    """A weighted mean without its outliers.

    Attributes:
        vector: d, unit length.
        kept: n, which embeddings are in it.
        outlier: n, which look like another person. More than `MOST_DROPPED` of them are not left out; those stay kept.
        scores: n, each one's cosine to the mean of the kept others; NaN where there is no other.
    """

    vector: Array
    kept: Mask
    outlier: Mask
    scores: Numbers


def unit(vector: npt.NDArray[np.floating]) -> Numbers:
    """`vector` at length 1 (along its last axis)."""
    values = np.asarray(vector, np.float64)
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), np.float64)


def spread(values: npt.NDArray[np.floating], least: float = LEAST_SPREAD) -> float:
    """Robust standard deviation: 1.4826 x the median distance to the median, at least `least`."""
    return max(least, 1.4826 * float(np.median(np.abs(values - np.median(values)))))


def leave_one_out(embeddings: Array, weights: Numbers, kept: Mask) -> Numbers:
    """Cosine of each embedding to the weighted mean of the *other* kept ones.

    Args:
        embeddings: n x d, unit length.
        weights: n, positive.
        kept: n.

    Returns:
        n; NaN where no other is kept.
    """
    weighted = embeddings.astype(np.float64) * (weights * kept)[:, None]
    others = weighted.sum(0) - weighted
    alone = kept.sum() - kept < 1
    lengths = np.where(alone, np.nan, np.linalg.norm(others, axis=1))
    return np.asarray((others * embeddings).sum(1) / lengths, np.float64)


def robust_mean(embeddings: Array, weights: Numbers, rounds: int = 3, strangers: Array | None = None) -> Robust:
    """The weighted mean, begun at the medoid, without the embeddings far below the others.

    An outlier's leave-one-out score lies `TRIM` robust deviations under the kept ones' median. Where strangers are
    known, an outlier that is clearly more alike than they are is kept: a turned head or hard light. Without it the
    person's photos would look more alike than the person's pictures are, and lines drawn from them be too high. Fewer
    than four embeddings cannot tell who is the stranger: all are kept.

    Args:
        embeddings: n x d, unit length, n >= 1.
        weights: n, positive.
        rounds: how often the outliers are looked for again.
        strangers: m x d, unit length; embeddings of other people.
    """
    count = len(embeddings)
    kept = np.ones(count, np.bool_)
    if count >= 4:
        kept = _near_the_medoid(embeddings)
        for _ in range(rounds):
            scores = leave_one_out(embeddings, weights, kept)
            again = scores >= _floor(scores[kept])
            if (again == kept).all():
                break
            kept = again
    scores = leave_one_out(embeddings, weights, kept)
    if strangers is not None and len(strangers) and not kept.all():
        reach = float(np.quantile(strangers @ _mean(embeddings, weights, kept), 0.99))
        kept = kept | (scores >= reach + GENUINE)
        scores = leave_one_out(embeddings, weights, kept)
    outlier = ~kept
    most = math.ceil(MOST_DROPPED * count)
    if outlier.sum() > most:
        kept = np.ones(count, np.bool_)
        kept[np.argsort(np.where(outlier, scores, np.inf))[:most]] = False
        scores = leave_one_out(embeddings, weights, kept)
    return Robust(_mean(embeddings, weights, kept), kept, outlier, scores)


def _mean(embeddings: Array, weights: Numbers, kept: Mask) -> Array:
    return unit((embeddings * (weights * kept)[:, None]).sum(0)).astype(np.float32)


def _near_the_medoid(embeddings: Array) -> Mask:
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, np.nan)
    medoid = int(np.argmax(np.nanmedian(cosines, axis=1)))
    near: Mask = cosines[medoid] >= _floor(np.delete(cosines[medoid], medoid))
    near[medoid] = True
    return near


def _floor(scores: npt.NDArray[np.floating]) -> float:
    return float(np.median(scores)) - TRIM * spread(scores)


def near_copies(embeddings: Array, weights: Numbers) -> list[int | None]:
    """For each embedding the index of a better one that shows nearly the same picture, or None.

    Copies would raise the leave-one-out scores without adding a view. Of each set of near copies
    (cosine above `NEAR_COPY`) the one with the highest weight stays, the first one among equals.
    """
    original: list[int | None] = [None] * len(embeddings)
    stays: list[int] = []
    for index in sorted(range(len(embeddings)), key=lambda item: (-weights[item], item)):
        for other in stays:
            if float(embeddings[index] @ embeddings[other]) > NEAR_COPY:
                original[index] = other
                break
        else:
            stays.append(index)
    return original
