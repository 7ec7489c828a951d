"""Computes intervals and tests that say how sure a number is.

Pure functions; the distributions are scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib_lora.errors import Misfit
from lib_lora.faces.array_types import Numbers

CONFIDENCE = 0.95
ROUNDS = 2000  # of the bootstrap: the ends of a 95 % interval are then known to about a tenth of its width
OWN, SCATTER = 0.01, 0.06  # a person's own, partly hard pictures count so much as strangers: mean, standard deviation
RARE, LEAST = 2.15, 0.67  # standard deviations, and what the long tail of few pictures needs beside them (`alarm_from`)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(hits: int, count: int) -> Interval:
    """A share with Wilson's score interval (Wilson 1927), which stays right near 0 and 1.

    Raises:
        ValueError: not 0 <= hits <= count, or count is 0.
    """
    if not 0 <= hits <= count or not count:
        raise Misfit(f"{hits} of {count} is not a share", "hits")
    from scipy.stats import binomtest

    ends = binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(hits / count, float(ends.low), float(ends.high))


def bootstrap(
    statistic: Callable[[npt.NDArray[np.intp]], Numbers], count: int, groups: Sequence[str] | None = None, seed: int = 7
) -> tuple[float, float]:
    """A 95 % interval of a statistic of `count` pictures, by resampling whole groups (Efron 1979).

    Pictures of one prompt resemble each other; resampling prompts instead of pictures keeps the interval honest. The
    percentiles are widened by `_short`.

    Args:
        statistic: takes m rows of indices [m, k] and gives the statistic of each row [m].
        count: of pictures, at least 1.
        groups: the prompt of each; None = each picture is its own.
        seed: of the resampling, so that a report can be made again to the last digit.
    """
    names = list(groups) if groups is not None else [str(index) for index in range(count)]
    members = [np.flatnonzero([name == group for name in names]) for group in dict.fromkeys(names)]
    drawn = np.random.default_rng(seed).integers(0, len(members), (ROUNDS, len(members)))
    sizes = np.array([len(group) for group in members])
    if len(set(sizes)) == 1:
        values = statistic(np.stack(members)[drawn].reshape(ROUNDS, -1))
    else:
        values, lengths = np.empty(ROUNDS), sizes[drawn].sum(1)
        for length in np.unique(lengths):  # groups of several sizes make rows of several lengths
            rows = [np.concatenate([members[group] for group in row]) for row in drawn[lengths == length]]
            values[lengths == length] = statistic(np.stack(rows))
    value = float(statistic(np.arange(count)[None])[0])
    return _ends(values, value, len(members))


def _ends(values: Numbers, value: float, groups: int) -> tuple[float, float]:
    """The 95 % percentiles of resampled `values`, moved away from `value` by `_short`."""
    low, high = (float(np.quantile(values, (1 + sign * CONFIDENCE) / 2)) for sign in (-1, 1))
    factor = _short(groups)
    return value + factor * (low - value), value + factor * (high - value)


def _short(groups: int) -> float:
    """By how much the percentiles of a bootstrap of few groups lie too near.

    Resampling takes the groups for the whole world, whose deviation is smaller by sqrt((g - 1) / g), and whose mean is
    normal instead of Student's t (Hesterberg 2015, "What teachers should know about the bootstrap", section 4.1). Plain
    percentiles of 5 and of 20 normal values hold the mean in 84 % and 92 % of cases instead of 95 %.
    """
    from scipy.stats import norm

    if groups < 2:
        return 1.0
    return student(groups) / float(norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(groups / (groups - 1))


def student(count: int) -> float:
    """How many standard errors a 95 % interval of the mean of `count` >= 2 values reaches to either side."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, count - 1))


def alarm_from(pictures: int, own: float = OWN, scatter: float = SCATTER) -> float:
    """From what sum of `Lines.as_strangers` on a grid raises the alarm: what so many pictures of the very person reach
    in fewer than 1.5 grids of a hundred, measured on sets of 5 to 20 (``bench/verdict/likeness.py --own``; photos and
    generated pictures, none painted with a LoRA) and assumed of more. Of 20 pictures it is 1.45, of 5 it is 1.01, so
    one picture never raises it alone, and two of 20 that surely show strangers do.

    Args:
        pictures: that are counted.
        own, scatter: mean and standard deviation of what one picture of the person counts; smaller ones than usual are
            taken for luck.
    """
    return max(OWN, own) * pictures + RARE * max(SCATTER, scatter) * math.sqrt(pictures) + LEAST


def paired_p(differences: Numbers) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that paired differences are centred on 0; 1 where all are 0."""
    from scipy.stats import wilcoxon

    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences).pvalue)


def lower_p(values: Numbers, reference: Numbers) -> float:
    """One-sided p of the Mann-Whitney test that `values` do not lie below `reference`."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(values, reference, alternative="less").pvalue)


def unpaired_p(one: Numbers, other: Numbers) -> float:
    """Two-sided p of the Mann-Whitney test that two sets of values lie at the same height."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(one, other, alternative="two-sided").pvalue)


def two_heaps(one: Numbers, other: Numbers, seed: int = 7) -> tuple[float, float]:
    """A 95 % bootstrap interval of mean(other) - mean(one), each resampled on its own; widened by `_short`."""
    random = np.random.default_rng(seed)
    means = [heap[random.integers(0, len(heap), (ROUNDS, len(heap)))].mean(1) for heap in (one, other)]
    return _ends(means[1] - means[0], float(other.mean() - one.mean()), min(len(one), len(other)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979), in the given order."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected
