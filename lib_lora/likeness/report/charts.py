"""Computes where the marks of a report's two charts lie, which the template draws.

Across, positions are percent of the width, so that a chart fits a phone and a desk with letters of one size; down they
are pixels. Pure functions.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from lib_lora.likeness.measure.calibration import BASE
from lib_lora.likeness.report.report import Report, Role
from lib_lora.likeness.report.report_words import number, ours, percent, plain

_LEFT, _RIGHT = 4.0, 96.0  # percent of the width that the axis covers
_STRIP, _HEAD, _FOOT = 46, 40, 26  # pixels: one strip, the lines' names above, the axis below
_JITTER = (0, 6, -6, 3, -3)  # pixels, so that equal values do not hide each other
_TALL, _TOP = 220, 24  # pixels: the curve, and the room above its highest value
_FIRST, _LAST = 12.0, 78.0  # percent: the curve's first and last step, beside its labels
DASHES = ("none", "7 4", "2 4", "10 3 2 3")  # weights differ by these and by their names, not by colour


@dataclass(frozen=True)
class Dot:
    """A picture or photo: percent across, pixels down, what it is, and whether it counts."""

    x: float
    y: float
    title: str
    counts: bool = True


@dataclass(frozen=True)
class Strip:
    """One set of scores.

    Attributes:
        name: of the set, with its number.
        y: pixels to its middle.
        dots: its members, where they are known one by one.
        median: percent across.
        bar: from and to, percent across, where only a summary is known.
    """

    name: str
    y: float
    dots: tuple[Dot, ...] = ()
    median: float | None = None
    bar: tuple[float, float] | None = None


@dataclass(frozen=True)
class Label:
    """A text at percent across; `anchor` is SVG's text-anchor."""

    x: float
    text: str
    anchor: Literal["start", "middle", "end"] = "middle"


@dataclass(frozen=True)
class Strips:
    """The strip plot.

    Attributes:
        strips: from top to bottom.
        ticks: of the axis.
        same, keep: the two lines; None where there are none.
        height: pixels.
    """

    strips: list[Strip]
    ticks: list[Label]
    same: Label | None
    keep: Label | None
    height: float


@dataclass(frozen=True)
class _Set:
    """One set before it has a place: its members (value, title, counts), or a summary (start, median, end)."""

    name: str
    members: tuple[tuple[float, str, bool], ...] = ()
    summary: tuple[float, float, float] | None = None

    @property
    def median(self) -> float | None:
        if self.summary:
            return self.summary[1]
        counted = [value for value, _, counts in self.members if counts]
        return statistics.median(counted) if counted else None

    @property
    def values(self) -> list[float]:
        return [*(self.summary or ()), *(value for value, _, _ in self.members)]


def strips(report: Report) -> Strips | None:
    """All scores on one axis, with the lines; None where there is no score at all."""
    lines, sets = report.calibration.lines, _sets(report)
    values = [value for item in sets for value in item.values] + ([lines.same, lines.keep] if lines else [])
    if not sets:
        return None
    low, high = math.floor(min(values) * 10) / 10, math.ceil(max(values) * 10) / 10

    def across(value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (value - low) / max(0.1, high - low), 2)

    def line(value: float, text: str) -> Label:
        x = across(value)
        return Label(x, f"{text} {number(value)}", "start" if x < 50 else "end")

    found = []
    for place, item in enumerate(sets):
        y = _HEAD + _STRIP * (place + 0.6)
        dots = tuple(Dot(across(v), y + _JITTER[n % len(_JITTER)], t, c) for n, (v, t, c) in enumerate(item.members))
        bar = (across(item.summary[0]), across(item.summary[2])) if item.summary else None
        found.append(Strip(item.name, y, dots, None if item.median is None else across(item.median), bar))
    steps = round((high - low) * 10)
    tenths = range(0, steps + 1, 1 if steps <= 6 else 2)
    return Strips(
        strips=found,
        ticks=[Label(across(low + tenth / 10), number(low + tenth / 10)[:-1]) for tenth in tenths],
        same=line(lines.same, "stranger line T_id") if lines else None,
        keep=line(lines.keep, "keep line T_keep") if lines else None,
        height=_HEAD + _STRIP * len(found) + _FOOT,
    )


def _sets(report: Report) -> list[_Set]:
    """What there is to show, from top to bottom."""
    calibration, top = report.calibration, report.calibration.ceiling
    photos = [(item.likeness, plain(item.file), item.used) for item in report.photos]
    sets = [_named("photos, each against the others", photos)]
    if top is not None:
        name = f"photos after the base model's VAE, median and spread ({top.n})"
        sets.append(_Set(name, (), (top.median - top.spread, top.median, top.median + top.spread)))
    roles: list[tuple[str, Role]] = [
        (ours(report), "lora"),
        ("without the LoRA", "base"),
        ("without the trigger", "leak"),
    ]
    for name, role in roles:
        scores = [row.score for row in report.of(role)]
        sets.append(_named(name, [(score.likeness, plain(score.image), score.counts) for score in scores]))
    for item in calibration.impostors:
        name = f"strangers: {plain(item.name)}, median to 99th percentile ({item.n})"
        sets.append(_Set(name, (), (item.median, item.median, item.q99)))
    return [item for item in sets if item.values]


def _named(name: str, members: Sequence[tuple[float | None, str, bool]]) -> _Set:
    known = [(value, f"{file} {number(value)}", counts) for value, file, counts in members if value is not None]
    return _Set(f"{name} ({len(known)})", tuple(known))


@dataclass(frozen=True)
class Point:
    """One tested checkpoint at one weight; `shape` 0.. tells the weights apart."""

    x: float
    y: float
    title: str
    shape: int


@dataclass(frozen=True)
class Segment:
    """A line between two points, percent across and pixels down."""

    x1: float
    y1: float
    x2: float
    y2: float
    shape: int


@dataclass(frozen=True)
class Curve:
    """Retention by step, one line for each weight.

    Attributes:
        points, segments: of all weights.
        names: each weight's name, percent across and pixels down at its last point.
        levels: pixels down and name of the horizontal lines.
        ticks: of the steps.
        height: pixels.
    """

    points: list[Point]
    segments: list[Segment]
    names: list[tuple[float, float, str]]
    levels: list[tuple[float, str]]
    ticks: list[Label]
    height: float


def curve(report: Report) -> Curve | None:
    """Retention by step; None where fewer than two steps were tested."""
    steps = sorted({one.step for one in report.tested})
    if len(steps) < 2:
        return None
    top = report.facts.ceiling.retention
    levels = [0.0, 0.5, 1.0]
    values = [one.retention for one in report.tested] + levels
    low, high = min(values), max(values)

    def across(step: int) -> float:
        return round(_FIRST + (_LAST - _FIRST) * (step - steps[0]) / (steps[-1] - steps[0]), 2)

    def down(value: float) -> float:
        return round(_TOP + (_TALL - _TOP) * (high - value) / (high - low), 1)

    points, segments, names = [], [], []
    for shape, weight in enumerate(sorted({one.weight for one in report.tested})):
        line = sorted((one.step, one.retention) for one in report.tested if one.weight == weight)
        here = [
            Point(across(s), down(r), f"step {s:,}, weight {weight:g}: {percent(r)}", shape % len(DASHES))
            for s, r in line
        ]
        points += here
        segments += [Segment(a.x, a.y, b.x, b.y, a.shape) for a, b in pairwise(here)]
        names.append((here[-1].x, here[-1].y, f"weight {weight:g}"))
    lines = report.calibration.lines
    zero = "without the LoRA" if lines and lines.zero_of == BASE else "a stranger"
    said = {0.0: f"0%: like {zero}", 1.0: "100%: like the photos"}
    horizontal = [(down(value), said.get(value, percent(value))) for value in levels]
    if top is not None and abs(top - 1) > 0.08 and abs(top - 0.5) > 0.08:
        horizontal.append((down(top), f"{percent(top)}: what the base model can show"))
    ticks = [Label(across(step), f"{step:,}") for step in _thinned(steps)]
    return Curve(points, segments, _apart(names), horizontal, ticks, _TALL + 30)


def _apart(names: Sequence[tuple[float, float, str]], least: float = 15) -> list[tuple[float, float, str]]:
    """Names moved down until no two are nearer than `least` pixels."""
    moved: list[tuple[float, float, str]] = []
    for x, y, text in sorted(names, key=lambda name: name[1]):
        moved.append((x, max(y, moved[-1][1] + least) if moved else y, text))
    return moved


def _thinned(steps: Sequence[int], most: int = 6) -> list[int]:
    """At most `most` of the steps, the last one included, none too near another."""
    room = (steps[-1] - steps[0]) / most
    kept: list[int] = []
    for step in reversed(steps):
        if not kept or kept[-1] - step >= room:
            kept.append(step)
    return kept[::-1]
