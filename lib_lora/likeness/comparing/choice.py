"""Chooses a checkpoint and weight: what must hold, what is traded, and no more training than is needed.

The best of many noisy numbers is too good by luck. So cells within one standard error of the best, and within 3 % of
it, count as equal, and among equals the smallest step and then the smallest weight is taken; and the winner is
confirmed on fresh seeds. There is always an answer: where every cell breaks a limit, the one that breaks fewest. Pure
functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lib_lora.errors import Misfit, UserError
from lib_lora.likeness.comparing.set_comparison import compare
from lib_lora.likeness.measure import intervals
from lib_lora.likeness.report.report import Report

NO_FACE_LIMIT = 0.10
COPY_LIMIT = 0.05
LOST_LIMIT = 0.05
MOST_GIVEN_UP = 0.03  # of the best's utility for less training; measured, see docs/likeness.md
ADHERENCE_RANGE = 0.03  # a fall of CLIP's cosine by this much is worth nothing any more
WEIGHTS = {"identity": 0.5, "adherence": 0.3, "variety": 0.2}


@dataclass(frozen=True)
class Candidate:
    """One checkpoint at one weight, as measured on a grid.

    Attributes:
        step, weight: which.
        retention: 0..1 and beyond, against the ceiling where there is one; None where it could not be measured.
        error: standard error of the retention.
        adherence: mean change of CLIP's cosine against the base model; None without CLIP.
        variety: as a share of the base model's; None where not measured.
        no_face, copies, lost: how many pictures of `pictures`.
        pictures: how many were painted, and `counted` how many of them can be measured.
        utility: weighted geometric mean of identity, adherence and variety, 0..1; 0 where there is no retention.
        feasible: it breaks no limit; `broken` names those it breaks.
        front: no other feasible candidate is better in one thing and as good in the others.
    """

    step: int
    weight: float
    retention: float | None
    error: float = 0.0
    adherence: float | None = None
    variety: float | None = None
    no_face: int = 0
    copies: int = 0
    lost: int = 0
    pictures: int = 0
    counted: int = 0
    utility: float = 0.0
    feasible: bool = True
    broken: list[str] = field(default_factory=list)
    front: bool = False


def candidate(report: Report) -> Candidate:
    """What a grid's report says about its checkpoint at its weight.

    Raises:
        ValueError: the report is of no run.
    """
    facts = report.facts
    if facts.training.step is None:
        raise Misfit("a report without a step is of no run", "report")
    broken = [
        name
        for name, hits, of, limit in (
            ("no face", facts.pictures.no_face, facts.pictures.read, NO_FACE_LIMIT),
            ("copies", facts.copies.count, facts.pictures.read, COPY_LIMIT),
            ("lost", facts.pictures.lost, facts.pictures.counted, LOST_LIMIT),
        )
        if of and hits > max(1, limit * of)  # one picture is luck
    ]
    if facts.identity.retention_best is None:
        broken.append("not measurable")
    if report.verdict.kind == "follows no prompt":
        broken.append("no prompt")
    identity = float(np.clip(facts.identity.retention_best or 0.0, 0.0, 1.0))
    parts = {"identity": identity}
    if facts.base.adherence is not None:
        parts["adherence"] = float(np.clip(1 + facts.base.adherence / ADHERENCE_RANGE, 0.0, 1.0))
    if facts.variety.ratio is not None:
        parts["variety"] = float(np.clip(facts.variety.ratio, 0.0, 1.0))
    return Candidate(
        step=facts.training.step,
        weight=facts.training.weight,
        retention=facts.identity.retention_best,
        error=_error(report),
        adherence=facts.base.adherence,
        variety=facts.variety.ratio,
        no_face=facts.pictures.no_face,
        copies=facts.copies.count,
        lost=facts.pictures.lost,
        pictures=facts.pictures.count,
        counted=facts.pictures.counted,
        utility=geometric(parts),
        feasible=not broken,
        broken=broken,
    )


def geometric(parts: dict[str, float]) -> float:
    """The weighted geometric mean of parts in 0..1; weights of parts that are absent go to the others."""
    total = sum(WEIGHTS[name] for name in parts)
    return float(np.prod([value ** (WEIGHTS[name] / total) for name, value in parts.items()]))


def _error(report: Report) -> float:
    """Standard error of the retention, from its bootstrap interval."""
    kept, counted = report.facts.identity, report.facts.pictures.counted
    if kept.retention_low is None or kept.retention_high is None:
        return 0.0
    scale = kept.retention_best / kept.retention if kept.retention_best and kept.retention else 1.0
    return abs(scale) * (kept.retention_high - kept.retention_low) / 2 / intervals.student(counted)


def with_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with `front` set: Pareto-optimal among the feasible ones in identity, adherence and variety."""
    feasible = [one for one in candidates if one.feasible]
    return [
        replace(one, front=one.feasible and not any(_dominates(other, one) for other in feasible)) for one in candidates
    ]


def _dominates(one: Candidate, other: Candidate) -> bool:
    pairs = [(min(1.0, one.retention or 0.0), min(1.0, other.retention or 0.0))]
    pairs += [(a, b) for a, b in ((one.adherence, other.adherence), (one.variety, other.variety))
              if a is not None and b is not None]  # fmt: skip
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def choose(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one-standard-error rule (Breiman et al. 1984) over the feasible ones' utility; None where there is none.

    Returns:
        Of the feasible candidates whose utility is no further below the most useful one's than one standard error of
        its retention costs, and no more than 3 % below it: the smallest step, then the smallest weight.
    """
    feasible = [one for one in candidates if one.feasible and one.retention is not None]
    if not feasible:
        return None
    best = max(feasible, key=lambda one: one.utility)
    slack = min(_utility_slack(best), MOST_GIVEN_UP * best.utility)
    equal = [one for one in feasible if one.utility >= best.utility - slack]
    return min(equal, key=lambda one: (one.step, one.weight))


def least_broken(candidates: Sequence[Candidate]) -> Candidate:
    """The best of candidates none of which is feasible (at least one): a measured one before one that is not, then the
    fewest limits broken, the highest utility, the most faces that can be measured, the latest step at the highest
    weight."""

    def rank(one: Candidate) -> tuple[bool, int, float, int, int, float]:
        return one.retention is not None, -len(one.broken), one.utility, one.counted, one.step, one.weight

    return max(candidates, key=rank)


def _utility_slack(best: Candidate) -> float:
    """By how much the best utility would fall if its retention were one standard error lower."""
    retention = min(1.0, best.retention or 0.0)
    if retention <= 0:
        return 0.0
    share = WEIGHTS["identity"] / sum(
        WEIGHTS[name]
        for name, value in (("identity", 1.0), ("adherence", best.adherence), ("variety", best.variety))
        if value is not None
    )
    lower = max(0.0, retention - best.error)
    return best.utility * (1 - float((lower / retention) ** share))


def to_confirm(candidates: Sequence[Candidate], count: int = 3) -> list[Candidate]:
    """The candidates to paint again on fresh seeds: the most useful feasible ones, then the least broken ones: a single
    feasible one may be luck, and is to be compared with something.

    What a smaller step gives up is weighed on the fresh seeds alone: on few prompts it would be weighed by luck.
    """
    useful = sorted((one for one in candidates if one.feasible), key=lambda one: -one.utility)
    rest = [one for one in candidates if not one.feasible]
    while rest and len(useful) < count:
        useful.append(least_broken(rest))
        rest.remove(useful[-1])
    return useful[:count]


def surely_worse(reports: Sequence[Report], best: Report) -> list[float]:
    """For each report the Holm-corrected p that it keeps as much of the face as `best`, in pairs of prompt and seed.

    1 where there are too few pairs to tell, where it keeps more, and for `best` itself.
    """
    p_values = {}
    for number, report in enumerate(reports):
        if report is best:
            continue
        try:
            found = compare(best, report, ("best", "other"))
            p_values[number] = found.p if found.difference < 0 else 1.0
        except UserError:
            p_values[number] = 1.0
    corrected = dict(zip(p_values, intervals.holm(list(p_values.values())), strict=True))
    return [corrected.get(number, 1.0) for number in range(len(reports))]
