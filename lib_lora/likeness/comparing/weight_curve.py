"""Measures how much of a face is kept as the weight of another LoRA grows: retention, paired differences.

The pictures of all weights are of the same prompts and seeds: each is held against the one at weight 0. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lib_lora.errors import Misfit
from lib_lora.faces.array_types import Numbers
from lib_lora.likeness.comparing.set_comparison import LEAST_PAIRS
from lib_lora.likeness.measure import intervals
from lib_lora.likeness.measure.calibration import Calibration
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.likeness.verdict.facts import NO_FACE

PROMPTS = 20  # of a test grid: more pictures than that are of the same prompts, with other seeds
LEAST_PROMPTS = 18  # with fewer, a loss that sits in a few prompts is too easily overlooked for "survives"
MOST_LOST = 0.10  # of the identity: a face that loses no more has survived
MOST_DROPPED = 1 / 3  # of the pictures that count at weight 0: if more cannot be measured, what is left is no sample
PointKind = Literal["alone", "survives", "changes", "lost", "unclear", "too few", "not measurable"]


@dataclass(frozen=True)
class WeightPoint:
    """What the pictures at one weight of the other LoRA show.

    Attributes:
        weight: of the other LoRA.
        pictures: that were painted.
        pairs: pictures whose face can be measured and is not lost at weight 0, and can be measured, or is gone, here.
        gone: of the pairs, those in which no face is found here; they count as if nothing of the identity were kept.
        dropped: pictures that could be pairs, but whose face cannot be measured here, though one is found.
        dropped_by: why, most often; empty where none is dropped.
        retention: mean share of the identity that is kept in the pairs, of what the base model can show where that is
            known; with its 95 % interval `low` to `high`. None where there are too few pairs.
        change: mean difference of the retention to weight 0, in the pairs; with its 95 % interval `change_low` to
            `change_high`. None where there are too few pairs, and at weight 0.
        kind: "alone" = weight 0; "survives" = a loss of more than `MOST_LOST` is ruled out, also if each dropped
            picture has lost everything, and in the pictures of `LEAST_PROMPTS` prompts; "changes" = there is a loss,
            and it may be more or less than that; "lost" = it is more than that; "unclear" = it may be either, or none,
            or the pictures are too few for "survives"; "too few" = fewer than `LEAST_PAIRS` pairs; "not measurable" =
            more than `MOST_DROPPED` are dropped.
        lost_alone: pictures whose face is lost at weight 0 already; the other LoRA has nothing to take from it, so they
            do not count.
        prompts: how many different ones the pairs have.
        worst: lower end of the interval of the change if each dropped picture has lost everything; None where there are
            too few pairs, and at weight 0.
    """

    weight: float
    pictures: int
    pairs: int
    gone: int = 0
    dropped: int = 0
    dropped_by: str = ""
    retention: float | None = None
    low: float | None = None
    high: float | None = None
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    kind: PointKind = "alone"
    lost_alone: int = 0
    prompts: int = 0
    worst: float | None = None


def curve(
    weights: Sequence[float], scores: Sequence[Sequence[ImageScore]], prompts: Sequence[str], calibration: Calibration
) -> list[WeightPoint]:
    """A point for each weight.

    Args:
        weights: of the other LoRA, ascending from 0.
        scores: for each weight those of its pictures, all in the order of `prompts`.
        prompts: of the pictures; those of one prompt are resampled together.
        calibration: of the character; it has lines.

    Raises:
        ValueError: the weights do not begin with 0, or there are not equally many pictures of each.
    """
    if not weights or weights[0] != 0 or list(weights) != sorted(set(weights)):
        raise Misfit("weights ascend from 0", "weights")
    if len(scores) != len(weights) or any(len(one) != len(prompts) for one in scores):
        raise Misfit("each weight has one picture of each prompt", "scores")
    alone = scores[0]
    return [_point(weight, alone, here, prompts, calibration) for weight, here in zip(weights, scores, strict=True)]


def _point(
    weight: float,
    alone: Sequence[ImageScore],
    here: Sequence[ImageScore],
    prompts: Sequence[str],
    calibration: Calibration,
) -> WeightPoint:
    shown = [
        (prompt, before, now)
        for prompt, before, now in zip(prompts, alone, here, strict=True)
        if before.counts and not _is_lost(before, calibration)
    ]
    both = [
        (prompt, _kept(before, calibration), 0.0 if now.reason == NO_FACE else _kept(now, calibration))
        for prompt, before, now in shown
        if now.counts or now.reason == NO_FACE
    ]
    lost = [now for _, _, now in shown if not now.counts]
    dropped = Counter(_why(now) for now in lost if now.reason != NO_FACE)
    point = WeightPoint(
        weight=weight,
        pictures=len(here),
        pairs=len(both),
        gone=sum(now.reason == NO_FACE for now in lost),
        dropped=dropped.total(),
        dropped_by=max(dropped, key=lambda why: dropped[why], default=""),
        lost_alone=sum(one.counts for one in alone) - len(shown),
        prompts=len({prompt for prompt, _, _ in both}),
    )
    if len(both) < LEAST_PAIRS:
        few = dropped.total() <= MOST_DROPPED * (len(both) + dropped.total())
        return replace(point, kind="alone" if not weight else "too few" if few else "not measurable")
    groups = [prompt for prompt, _, _ in both]
    before, now = (np.array([pair[place] for pair in both], np.float64) for place in (1, 2))
    low, high = _interval(now, groups)
    point = replace(point, retention=float(now.mean()), low=low, high=high)
    if not weight:
        return point
    change = now - before
    least, most = _interval(change, groups)
    worst = least
    if dropped:
        hidden = [(p, -_kept(old, calibration)) for p, old, new in shown if not new.counts and new.reason != NO_FACE]
        whole = np.concatenate([change, np.array([one for _, one in hidden], np.float64)])
        worst, _ = _interval(whole, [*groups, *(prompt for prompt, _ in hidden)])
    kind: PointKind = (
        "not measurable"
        if dropped.total() > MOST_DROPPED * (len(both) + dropped.total())
        else "survives"
        if min(least, worst) >= -MOST_LOST and point.prompts >= LEAST_PROMPTS
        else "unclear"
        if least >= -MOST_LOST
        else "lost"
        if most < -MOST_LOST
        else "changes"
        if most < 0
        else "unclear"
    )
    return replace(point, kind=kind, change=float(change.mean()), change_low=least, change_high=most, worst=worst)


def _is_lost(score: ImageScore, calibration: Calibration) -> bool:
    """Whether the face is no more like the photos than a stranger's: the other LoRA has nothing to take from it."""
    return calibration.lines is not None and (score.likeness or 0.0) < calibration.lines.same


def _kept(score: ImageScore, calibration: Calibration) -> float:
    return calibration.retention_of_best(score.likeness or 0.0)


def _why(score: ImageScore) -> str:
    """Why a face cannot be measured, in words that do not differ from picture to picture."""
    return (score.face.fault if score.face else "") or score.reason


def _interval(values: Numbers, groups: Sequence[str]) -> tuple[float, float]:
    return intervals.bootstrap(lambda rows: values[rows].mean(1), len(values), groups)


def pairs_needed(point: WeightPoint) -> int | None:
    """About how many pairs would tell whether a face survives, if the pictures went on as they are.

    Args:
        point: that is unclear.

    Returns:
        None where more than `PROMPTS` are needed, which more pictures cannot give, since prompts are resampled: the
        loss lies too near `MOST_LOST`, or sits in single prompts.
    """
    if point.change is None or point.change_low is None or point.change_high is None:
        return None
    if point.change_low >= -MOST_LOST:
        few = 0 < point.prompts < LEAST_PROMPTS
        return -(-LEAST_PROMPTS * point.pairs // point.prompts) if few else None
    above = point.change + MOST_LOST
    reach = point.change - point.change_low if above > 0 else point.change_high - point.change
    if not above:
        return None
    needed = int(np.ceil(point.pairs * (reach / above) ** 2))
    return needed if needed <= PROMPTS else None
