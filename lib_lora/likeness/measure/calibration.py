"""Computes a character's thresholds ("lines") from what its own photos and strangers reach.

A fixed threshold is wrong for every other character: pictures of one rendering look resemble each other, and a set of
photos is more or less alike. So the lines are drawn from the photos' leave-one-out scores (what the same person gives),
and from impostors: the same prompts painted without the LoRA, and an anonymous cohort. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib_lora.errors import Misfit
from lib_lora.faces.array_types import Array, Numbers
from lib_lora.faces.robust_mean import LEAST_SPREAD, spread
from lib_lora.likeness.measure import refusals
from lib_lora.likeness.measure.refusals import LineRefusal
from lib_lora.likeness.measure.template import Template

LEAST_PHOTOS = 8  # fewer leave-one-out scores do not tell how alike the photos are
LEAST_FACES = 5  # with a usual spread of 0.08 the mean of five is known to about 0.04
LEAST_SEPARATION = 3.0  # d' under which the person and strangers overlap too much for a verdict
COVERED, SURE = 0.95, 0.98  # the keep line leaves this share of the person's pictures above it, this surely
SKEWED = 1.35  # leave-one-out scores have a long lower tail; measured, see docs/likeness.md
STRANGER_SPREADS = 3.0  # above the impostors' median
MANY_STRANGERS = 100  # from so many on their 99th percentile is known, and nothing is assumed of their distribution
STRANGERS = BASE, COHORT, GIVEN = refusals.STRANGERS
MARGIN = 0.02  # of the keep line over the impostors' 99th percentile
ABOVE, UNDER = 0.05, 0.10  # of the keep line, and of the impostors' 99th percentile: see `Lines.as_strangers`
_SHARES = 199  # points at which a distribution is looked at


@dataclass(frozen=True)
class Scores:
    """A set of likenesses summed up.

    Attributes:
        name: what they are of.
        n: how many.
        median: cosine.
        spread: robust standard deviation (1.4826 x MAD, at least 0.03).
        mean, deviation: plain mean and standard deviation (the latter at least 0.03).
        q99: 99th percentile.
        separation: d' to the photos, for impostors.
    """

    name: str
    n: int
    median: float
    spread: float
    mean: float
    deviation: float
    q99: float
    separation: float | None = None


@dataclass(frozen=True)
class Lines:
    """Where pictures of this character are divided.

    Attributes:
        zero: likeness that counts as no identity kept: the median of the base model's pictures where there are
            enough, else of the other impostors.
        zero_of: which source that is.
        keep: T_keep; at least 95 % of the person's pictures lie above it (`keep_line`).
        same: T_id; below it a face is no more like the person than a stranger's.
        below: share of the person's own pictures that may lie under `keep`; 0.05, and more where strangers lie so near
            that the line had to be drawn higher.
        reach: the strangers' highest 99th percentile; None in reports of versions that did not keep it.
    """

    zero: float
    zero_of: str
    keep: float
    same: float
    below: float = 1 - COVERED
    reach: float | None = None

    def as_strangers(self, likenesses: Numbers) -> Numbers:
        """How much each picture with one of these likenesses counts as a stranger's, from 0 (the person) to 1.

        A picture on the keep line or above it counts 0, one `UNDER` the strangers' reach or lower counts 1, and one in
        between by how far it lies from `ABOVE` the keep line to there. A person's hard pictures lie a little under the
        keep line, strangers far under it: so this tells three strangers from three hard pictures, which a count of
        pictures under the line cannot.
        """
        top = self.keep + ABOVE
        end = min(self.same if self.reach is None else self.reach, self.keep) - UNDER
        shares = np.clip((top - likenesses) / (top - end), 0.0, 1.0)
        return np.asarray(np.where(likenesses < self.keep, shares, 0.0), np.float64)


@dataclass(frozen=True)
class Calibration:
    """The lines of one character with one engine, and what they were drawn from.

    Attributes:
        photos: leave-one-out scores of the photos; None where there are none.
        ceiling: the same photos after the base model's VAE; None where that was not measured.
        impostors: each source of strangers, as it would look after the VAE where there is a ceiling.
        shrunk: what the median likeness of strangers that did not pass the base model was multiplied by (`calibrate`).
        lines: None where `refusal` says why none can be drawn.
        refusal: None where there can be a verdict.
    """

    photos: Scores | None
    ceiling: Scores | None
    impostors: list[Scores]
    lines: Lines | None
    refusal: LineRefusal | None = None
    shrunk: float = 1.0

    def least_mean(self, pictures: int) -> float:
        """What the mean likeness of so many of the person's next pictures hardly ever falls below: the lower end of
        Student's 98 % prediction interval, its deviation 1.35 times as large for the long lower tail.

        Raises:
            ValueError: there are no lines.
        """
        from scipy.stats import t

        _, goal = self._drawn()
        n = max(2, goal.n)
        wide = SKEWED * goal.deviation * math.sqrt(1 / max(1, pictures) + 1 / n)
        return goal.mean + float(t.ppf(0.01, n - 1)) * wide

    def own_as_strangers(self) -> tuple[float, float]:
        """Mean and standard deviation of how much one picture of the person counts as a stranger's
        (`Lines.as_strangers`), by Student's predictive distribution of the photos' scores.

        Raises:
            ValueError: there are no lines.
        """
        from scipy.stats import t

        lines, goal = self._drawn()
        n = max(2, goal.n)
        shares = (np.arange(_SHARES) + 0.5) / _SHARES
        likely = goal.mean + goal.deviation * math.sqrt(1 + 1 / n) * np.asarray(t.ppf(shares, n - 1), np.float64)
        counts = lines.as_strangers(likely)
        return float(counts.mean()), float(counts.std())

    def _drawn(self) -> tuple[Lines, Scores]:
        """The lines, and the scores that they were drawn from."""
        goal = self.ceiling or self.photos
        if self.lines is None or goal is None:
            raise Misfit(f"no lines: {self.refusal}", "lines")
        return self.lines, goal

    def retention(self, likeness: float) -> float:
        """Identity retention against the photos: 0 = the impostors' median, 1 = the photos' own.

        Raises:
            ValueError: there are no lines.
        """
        if self.lines is None or self.photos is None:
            raise Misfit(f"no retention without lines: {self.refusal}", "lines")
        return (likeness - self.lines.zero) / (self.photos.median - self.lines.zero)

    def retention_of_ceiling(self, likeness: float) -> float | None:
        """Identity retention against what the VAE lets through; None where that was not measured."""
        if self.lines is None or self.ceiling is None or self.ceiling.median <= self.lines.zero:
            return None
        return (likeness - self.lines.zero) / (self.ceiling.median - self.lines.zero)

    def retention_of_best(self, likeness: float) -> float:
        """Identity retention against the ceiling where there is one, else against the photos.

        Raises:
            ValueError: there are no lines.
        """
        best = self.retention_of_ceiling(likeness)
        return self.retention(likeness) if best is None else best


def sum_up(name: str, values: Numbers, separation: float | None = None) -> Scores:
    """`values` (n >= 1 cosines) summed up."""
    return Scores(
        name=name,
        n=len(values),
        median=float(np.median(values)),
        spread=spread(values),
        mean=float(values.mean()),
        deviation=max(LEAST_SPREAD, float(values.std(ddof=1)) if len(values) > 1 else 0.0),
        q99=float(np.quantile(values, 0.99)),
        separation=separation,
    )


def keep_line(scores: Scores) -> float:
    """The lower tolerance limit of the person's likeness: mean - 1.35 k x standard deviation.

    k is the one-sided factor for normal scores (Natrella 1963: noncentral t), which grows as the photos get fewer;
    1.35 allows for the long lower tail that such scores have. Twice the median absolute deviation below the median,
    as one might think, raised the alarm on one grid in five without any drift.
    """
    from scipy.stats import nct, norm

    n = max(2, scores.n)
    factor = float(nct.ppf(SURE, n - 1, norm.ppf(COVERED) * math.sqrt(n))) / math.sqrt(n)
    return scores.mean - SKEWED * factor * scores.deviation


def share_below(scores: Scores, line: float) -> float:
    """What share of the person's next pictures lie under a line, at least 5 %: Student's predictive distribution of
    the scores, its deviation 1.35 times as large for their long lower tail."""
    from scipy.stats import t

    n = max(2, scores.n)
    wide = SKEWED * scores.deviation * math.sqrt(1 + 1 / n)
    return max(1 - COVERED, float(t.cdf((line - scores.mean) / wide, n - 1)))


def separation(photos: Numbers, strangers: Numbers) -> float:
    """d' = (difference of the medians) / (root of the mean robust variance)."""
    return distance(sum_up("", photos), sum_up("", strangers))


def distance(one: Scores, other: Scores) -> float:
    """The distance d' of `one` over `other`, computed from their summaries."""
    return (one.median - other.median) / math.sqrt((one.spread**2 + other.spread**2) / 2)


def against(template: Template, strangers: Array | None) -> Numbers:
    """Likeness of each of n strangers' embeddings (n x d) to the template; empty for None."""
    if strangers is None:
        return np.zeros(0, np.float64)
    return np.asarray(strangers @ template.array, np.float64)


def calibrate(photos: Numbers, impostors: Sequence[tuple[str, Numbers]], ceiling: Numbers | None = None) -> Calibration:
    """Draw the lines.

    Args:
        photos: leave-one-out scores of the template's photos.
        impostors: name and likenesses of each source of strangers; sources of fewer than `LEAST_FACES` are left out.
        ceiling: leave-one-out scores of the photos after the base model's VAE. What it takes from the photos'
            likeness it takes from everybody's: embeddings lose length along what they knew and gain noise in directions
            that nobody's template has. So the median of strangers that the base model did not paint is multiplied by
            the share that is left of the photos'; their spread stays, for the noise makes up for what it loses.
            (Mara at 128 pixels: the cohort's median 0.35 becomes 0.24, and the base model's own pictures have 0.23.)

    """
    sources = [(name, values) for name, values in impostors if len(values) >= LEAST_FACES]
    own = sum_up("photos", photos) if len(photos) else None
    top = sum_up("ceiling", ceiling) if ceiling is not None and len(ceiling) >= LEAST_FACES else None
    left = min(1.0, max(0.0, top.median / own.median)) if own and top and own.median > 0 else 1.0
    strangers = [
        sum_up(
            name,
            values if name == BASE else values - (1 - left) * np.median(values),
            separation(photos, values) if len(photos) else None,
        )
        for name, values in sources
    ]
    refusal = _too_few(photos) or _overlap(strangers)
    if own is None or refusal:
        return Calibration(own, top, strangers, None, refusal)
    goal = top or own
    highest = max(item.q99 for item in strangers)
    keep = max(keep_line(goal), highest + MARGIN)
    same = min(keep, max(_stranger_line(item) for item in strangers))
    zero = next((item for item in strangers if item.name == BASE), strangers[0])
    return Calibration(
        own, top, strangers, Lines(zero.median, zero.name, keep, same, share_below(goal, keep), highest), shrunk=left
    )


def reach(strangers: Numbers) -> float | None:
    """How like a person strangers can be: the likeness that hardly any passes; None for fewer than `LEAST_FACES`."""
    return _reach(sum_up("strangers", strangers)) if len(strangers) >= LEAST_FACES else None


def _stranger_line(strangers: Scores) -> float:
    return strangers.q99 if strangers.n >= MANY_STRANGERS else _reach(strangers)


def _reach(strangers: Scores) -> float:
    return max(strangers.q99, strangers.median + STRANGER_SPREADS * strangers.spread)


def _too_few(photos: Numbers) -> LineRefusal | None:
    if len(photos) >= LEAST_PHOTOS:
        return None
    return LineRefusal("too-few-photos", {"count": str(len(photos)), "least": str(LEAST_PHOTOS)})


def _overlap(strangers: Sequence[Scores]) -> LineRefusal | None:
    if not strangers:
        return LineRefusal("no-strangers")
    worst = min(strangers, key=lambda item: item.separation or 0.0)
    if worst.separation is None or worst.separation >= LEAST_SEPARATION:
        return None
    numbers = {"separation": f"{worst.separation:.1f}", "least": f"{LEAST_SEPARATION:.0f}"}
    return LineRefusal("strangers-alike", {"strangers": worst.name, **numbers})
