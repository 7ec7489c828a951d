"""Compares two sets of pictures of one character: which keeps more of the face, and how sure that is.

Pictures of the same prompt and seed, or of the same file name, are compared in pairs, which needs about half as many as
comparing two heaps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lib_lora.errors import UserError
from lib_lora.faces.array_types import Numbers
from lib_lora.likeness.measure import intervals
from lib_lora.likeness.measure.calibration import LEAST_FACES
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.likeness.report.report import Report, Row

SURE = 0.05  # p value
LEAST_PAIRS = 6  # the signed ranks of five can never be surer than p = 0.06


@dataclass(frozen=True)
class Comparison:
    """What two reports say about each other.

    Attributes:
        a, b: their names.
        paired: by prompt and seed (or file name); else as two heaps.
        n: pairs, or the smaller heap.
        difference: mean likeness of B minus that of A, with its 95 % interval `low` to `high`.
        p: two-sided, Wilcoxon's signed-rank test for pairs, Mann-Whitney's for heaps.
        b_better: in how many pairs B is more alike; None for heaps.
        better: "a", "b", or "" where the difference may be chance.
        retention_a, retention_b: of the two; None where not measured.
        kind_a, kind_b: their verdicts.
        sentence: the result in words.
    """

    a: str
    b: str
    paired: bool
    n: int
    difference: float
    low: float
    high: float
    p: float
    b_better: int | None
    better: Literal["a", "b", ""]
    retention_a: float | None
    retention_b: float | None
    kind_a: str
    kind_b: str
    sentence: str


def compare(a: Report, b: Report, names: tuple[str, str]) -> Comparison:
    """Compare two sets of pictures.

    Args:
        a, b: reports of the same character, by the same engine and against the same photos.
        names: what to call them.

    Raises:
        UserError: the reports are not of one character, engine and set of photos, or too few faces were measured.
    """
    if a.engine != b.engine:
        raise UserError(
            f"{names[0]} and {names[1]} were measured by different face engines; test both again.",
            code="compare-other-engines",
        )
    if a.subject.character != b.subject.character:
        raise UserError(
            f"{names[0]} shows {a.subject.character} and {names[1]} shows {b.subject.character}; only pictures of one "
            "character can be compared.",
            code="compare-other-characters",
        )
    if a.ruler != b.ruler:
        raise UserError(
            f"The photos were changed between the tests of {names[0]} and {names[1]}; test both again.",
            code="compare-other-photos",
        )
    pairs = _pairs(a, b)
    paired = len(pairs) >= LEAST_PAIRS
    if paired:
        gains = np.array([two - one for one, two in pairs], np.float64)
        low, high = intervals.bootstrap(lambda rows: gains[rows].mean(1), len(gains))
        n, difference, p = len(gains), float(gains.mean()), intervals.paired_p(gains)
        better_b: int | None = int((gains > 0).sum())
    else:
        one, two = _counted(a), _counted(b)
        if min(len(one), len(two)) < LEAST_FACES:
            raise UserError(
                f"Too few faces can be measured to compare {names[0]} and {names[1]} ({len(one)} and {len(two)}; "
                f"{LEAST_FACES} are needed in each).",
                code="compare-too-few-faces",
                faces=(len(one), len(two)),
                needed=LEAST_FACES,
            )
        n, difference, p = min(len(one), len(two)), float(two.mean() - one.mean()), intervals.unpaired_p(one, two)
        low, high = intervals.two_heaps(one, two)
        better_b = None
    better: Literal["a", "b", ""] = "" if p >= SURE else "b" if difference > 0 else "a"
    return Comparison(
        a=names[0], b=names[1], paired=paired, n=n, difference=difference, low=low, high=high, p=p, b_better=better_b,
        better=better, retention_a=a.facts.identity.retention, retention_b=b.facts.identity.retention,
        kind_a=a.verdict.kind, kind_b=b.verdict.kind,
        sentence=_sentence(names, better, difference, p, _what(a, b, n, paired)),
    )  # fmt: skip


def _pairs(a: Report, b: Report) -> list[tuple[float, float]]:
    """Likenesses of the pictures that both sets have, where both count."""
    known, found = _named(a), _named(b)
    scores = [(known[key], score) for key, score in found.items() if key in known]
    return [
        (one.likeness, two.likeness)
        for one, two in scores
        if one.counts and two.counts and one.likeness is not None and two.likeness is not None
    ]


def _named(report: Report) -> dict[tuple[str, int | None], ImageScore]:
    """The pictures that can have a partner; two of one name (a.jpg and a.png) could each be the other's."""
    keys = Counter(_key(row) for row in report.of("lora"))
    return {key: row.score for row in report.of("lora") if (key := _key(row)) and keys[key] == 1}


def _key(row: Row) -> tuple[str, int | None] | None:
    return (row.asked.prompt, row.asked.seed) if row.asked.prompt else None


def _counted(report: Report) -> Numbers:
    values = [row.score.likeness for row in report.of("lora") if row.score.counts]
    return np.array([value for value in values if value is not None], np.float64)


def _what(a: Report, b: Report, n: int, paired: bool) -> str:
    """What was compared."""
    if not paired:
        return f"two sets of at least {n} pictures"
    seeds = any(row.asked.seed is not None for report in (a, b) for row in report.of("lora"))
    return f"{n} pairs of one {'prompt and seed' if seeds else 'file name'}"


def _sentence(names: tuple[str, str], better: str, difference: float, p: float, what: str) -> str:
    sure = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if better else f"p = {p:.2f}"
    if not better:
        return f"No sure difference between {names[0]} and {names[1]} ({difference:+.3f}, {sure}, {what})."
    winner = names[0] if better == "a" else names[1]
    return f"{winner} keeps more of the face ({abs(difference):.3f} more likeness, {sure}, {what})."
