"""Computes the numbers of a production: how many pictures pass at once, why others fail, and which prompts fail."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass

from lib_lora.errors import plural
from lib_lora.likeness.measure.intervals import Interval, wilson
from lib_lora.workflows.produce.production import PaintedTry, Progress, row_of, similar

SIMILAR_BITS = 6  # of 64: pictures of one pile; those of one prompt and different seeds differ by 14 and more
_BINS = 20  # of the histogram


@dataclass(frozen=True)
class PromptStats:
    """One prompt of the list.

    Attributes:
        prompt: as it stands in the list.
        items: pictures that were begun with it.
        kept: of them that have one that passed.
        painted: pictures in all.
        likeness: mean of the kept ones; None where none was kept.
        reasons: why pictures failed, the most frequent first.
    """

    prompt: str
    items: int
    kept: int
    painted: int
    likeness: float | None
    reasons: list[tuple[str, int]]


@dataclass(frozen=True)
class ProductionStats:
    """A production in numbers.

    Attributes:
        wanted, begun, kept, given_up, painted: items that are wanted, begun, with a picture, and without one after all
            tries; and pictures in all.
        first_try: share of the begun items whose first picture passed, with its interval; None where none is begun.
        tries: painted pictures for each kept one; None where none is kept.
        reasons: why pictures failed, the most frequent first.
        likeness: of the kept pictures: the least, the median, the most; None where none is kept.
        histogram: from which likeness to which, how many pictures passed, how many failed.
        prompts: in the list's order.
        by_hand: pictures that the user has kept although they failed, and dropped although they passed.
        piles: sizes of the piles of kept pictures that are nearly the same, those of two and more, the largest first.
    """

    wanted: int
    begun: int
    kept: int
    given_up: int
    painted: int
    first_try: Interval | None
    tries: float | None
    reasons: list[tuple[str, int]]
    likeness: tuple[float, float, float] | None
    histogram: list[tuple[float, float, int, int]]
    prompts: list[PromptStats]
    by_hand: tuple[int, int]
    piles: list[int]


def stats_of(progress: Progress, with_piles: bool = True) -> ProductionStats:
    """The numbers of a production as it is now; which pictures are nearly the same takes most of the time."""
    tried = [one for item in sorted(progress.tried) for one in progress.tried[item]]
    kept = progress.kept
    firsts = [tries[0] for tries in progress.tried.values() if tries and tries[0].attempt == 1]
    values = sorted(one.likeness for one in kept if one.likeness is not None)
    return ProductionStats(
        wanted=progress.plan.count,
        begun=len(progress.tried),
        kept=progress.done,
        given_up=len(progress.given_up()),
        painted=len(tried),
        first_try=wilson(sum(one.kept for one in firsts), len(firsts)) if firsts else None,
        tries=len(tried) / len(kept) if kept else None,
        reasons=_reasons(tried),
        likeness=(values[0], statistics.median(values), values[-1]) if values else None,
        histogram=_histogram(tried),
        prompts=_prompts(progress),
        by_hand=_by_hand(progress, tried),
        piles=[len(pile) for pile in similar(kept, SIMILAR_BITS) if len(pile) > 1] if with_piles else [],
    )


def _by_hand(progress: Progress, tried: list[PaintedTry]) -> tuple[int, int]:
    other = [one for one in tried if progress.is_kept(one) != one.kept]
    return sum(not one.kept for one in other), sum(one.kept for one in other)


def _reasons(tried: list[PaintedTry]) -> list[tuple[str, int]]:
    return Counter(str(one.reason) for one in tried if one.reason).most_common()


def _histogram(tried: list[PaintedTry]) -> list[tuple[float, float, int, int]]:
    known = [(one.likeness, one.kept) for one in tried if one.likeness is not None]
    if not known:
        return []
    least, most = min(value for value, _ in known), max(value for value, _ in known)
    width = max(most - least, 1e-6) / _BINS
    bins = [[0, 0] for _ in range(_BINS)]
    for value, passed in known:
        bins[min(_BINS - 1, int((value - least) / width))][0 if passed else 1] += 1
    return [(least + width * n, least + width * (n + 1), one[0], one[1]) for n, one in enumerate(bins)]


def _prompts(progress: Progress) -> list[PromptStats]:
    groups: dict[str, list[list[PaintedTry]]] = {row.prompt: [] for row in progress.plan.prompts}
    for item, tries in progress.tried.items():
        groups[row_of(progress.plan, item).prompt].append(tries)
    found = []
    for prompt, items in groups.items():
        tried = [one for tries in items for one in tries]
        kept = [one.likeness for one in tried if progress.is_kept(one) and one.likeness is not None]
        found.append(
            PromptStats(
                prompt=prompt,
                items=len(items),
                kept=sum(any(progress.is_kept(one) for one in tries) for tries in items),
                painted=len(tried),
                likeness=statistics.fmean(kept) if kept else None,
                reasons=_reasons(tried),
            )
        )
    return found


def as_text(stats: ProductionStats) -> str:
    """The numbers as text for a terminal."""
    lines = [f"{stats.kept} of {stats.wanted} pictures are kept; {stats.painted} were painted."]
    if stats.first_try:
        first = stats.first_try
        lines.append(f"Passed at the first try: {first.value:.0%} (95 %: {first.low:.0%} to {first.high:.0%}).")
    if stats.tries:
        lines.append(f"Pictures painted for each that is kept: {stats.tries:.2f}.")
    if stats.likeness:
        least, middle, most = stats.likeness
        lines.append(f"Likeness of those that are kept: {least:.2f} to {most:.2f}, median {middle:.2f}.")
    if stats.reasons:
        lines.append("Why others failed: " + ", ".join(f"{reason} {count}" for reason, count in stats.reasons) + ".")
    if any(stats.by_hand):
        lines.append(f"Decided by you: {stats.by_hand[0]} kept that failed, {stats.by_hand[1]} dropped that passed.")
    if stats.given_up:
        lines.append(f"Without a picture after all tries: {stats.given_up}.")
    if stats.piles:
        lines.append(f"Nearly the same: {plural(len(stats.piles), 'pile')}, the largest of {stats.piles[0]}.")
    hard = sorted(
        (one for one in stats.prompts if one.items and one.kept < one.items), key=lambda one: one.kept / one.items
    )
    for one in hard[:5]:
        why = f" ({one.reasons[0][0]})" if one.reasons else ""
        lines.append(f"  {one.kept} of {one.items} kept: {one.prompt[:80]}{why}")
    return "\n".join(lines)
