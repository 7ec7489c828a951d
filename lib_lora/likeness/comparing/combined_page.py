"""Makes one self-contained HTML page of a combination with another LoRA: the curve, the numbers, the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path

import jinja2

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.files import write_text
from lib_lora.likeness.comparing.combined_report import KINDS, CombinedReport, CombinedRow, with_interval
from lib_lora.likeness.comparing.weight_curve import WeightPoint
from lib_lora.likeness.report import report_html, report_words
from lib_lora.likeness.report.charts import Label, Segment
from lib_lora.likeness.report.report import SMALL_PRINT
from lib_lora.likeness.verdict.verdict_tone import combined_tone
from lib_lora.pages import template

PAGE_FILE = "combined.html"
_TALL, _TOP, _LEFT, _RIGHT = 240, 24, 14.0, 92.0  # pixels; percent of the width


@dataclass(frozen=True)
class CurvePoint:
    """The pictures of one weight: percent across, pixels down, with the ends of the interval."""

    x: float
    y: float
    top: float
    bottom: float
    title: str


@dataclass(frozen=True)
class WeightChart:
    """The curve; `levels` are pixels down and the name of each horizontal line."""

    points: list[CurvePoint]
    segments: list[Segment]
    levels: list[tuple[float, str]]
    ticks: list[Label]
    height: float


@dataclass(frozen=True)
class CurveLine:
    """A row of the table, in words."""

    weight: str
    kept: str
    change: str
    pairs: str
    gone: str
    dropped: str
    said: str


@dataclass(frozen=True)
class SmallPicture:
    """A picture on the page as data URI (empty where it is gone), and what is said of it."""

    weight: str
    picture: str
    width: int
    height: int
    said: str


@dataclass(frozen=True)
class PromptPictures:
    """The pictures of one prompt and seed, by weight."""

    prompt: str
    cells: list[SmallPicture]


def write(report: CombinedReport, folder: Path) -> Path:
    """Write the page into the folder of a combination; its path.

    Raises:
        UserError: it cannot be written.
    """
    path = folder / PAGE_FILE
    write_text(path, render(report, folder))
    return path


def render(report: CombinedReport, folder: Path) -> str:
    """The page.

    Args:
        report: what to show.
        folder: in which its pictures lie; one that is gone is said to be.
    """
    return _template().render(
        report=report,
        tone=combined_tone(report.verdict.kind, report.verdict.judged),
        about=_about(report),
        chart=chart(report.points),
        lines=[_line(one) for one in report.points],
        lost_alone=max((one.lost_alone for one in report.points), default=0),
        weights=[f"{one.weight:g}" for one in report.points],
        rows=_rows(report.pictures, folder),
        ai_made=report_words.AI_MADE,
        small_print=SMALL_PRINT,
    )


def chart(points: Sequence[WeightPoint]) -> WeightChart | None:
    """Where the marks of the curve lie; None where fewer than two weights could be measured."""
    known = [(one, one.retention, one.low, one.high) for one in points]
    found = [
        (one, kept, low, high)
        for one, kept, low, high in known
        if kept is not None and low is not None and high is not None
    ]
    if len(found) < 2:
        return None
    levels = [0.0, 0.5, 1.0]
    least = min([*levels, *(low for _, _, low, _ in found)])
    most = max([*levels, *(high for _, _, _, high in found)])
    first, last = points[0].weight, points[-1].weight

    def across(weight: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (weight - first) / (last - first), 2)

    def down(value: float) -> float:
        return round(_TOP + (_TALL - _TOP) * (most - value) / (most - least), 1)

    marks = [
        CurvePoint(
            across(one.weight),
            down(kept),
            down(high),
            down(low),
            f"weight {one.weight:g}: {with_interval(kept, low, high)}",
        )
        for one, kept, low, high in found
    ]
    return WeightChart(
        points=marks,
        segments=[Segment(a.x, a.y, b.x, b.y, 0) for a, b in pairwise(marks)],
        levels=[(down(value), report_words.percent(value)) for value in levels],
        ticks=[Label(across(one.weight), f"{one.weight:g}") for one in points],
        height=_TALL + 30,
    )


def _about(report: CombinedReport) -> list[tuple[str, str]]:
    made = report.made.replace("T", " ").replace("+00:00", " UTC")
    return [
        ("Character", report.character),
        ("Run", report.run),
        ("Step", f"{report.step:,}"),
        ("Weight", f"{report.weight:g}"),
        ("Other LoRA", report.lora),
        ("Its SHA-256", report.lora_sha256[:16]),
        ("Base model", report.base),
        ("Lines of test grid", report.grid),
        ("Made", made),
    ]


def _line(one: WeightPoint) -> CurveLine:
    return CurveLine(
        weight=f"{one.weight:g}",
        kept=with_interval(one.retention, one.low, one.high),
        change=with_interval(one.change, one.change_low, one.change_high, "+"),
        pairs=str(one.pairs),
        gone=str(one.gone),
        dropped=str(one.dropped),
        said=KINDS[one.kind],
    )


def _rows(pictures: Sequence[CombinedRow], folder: Path) -> list[PromptPictures]:
    by_cell = sorted(pictures, key=lambda one: (one.seed, one.weight))
    return [
        PromptPictures(cells[0].prompt, [_small(one, folder) for one in cells])
        for cells in (list(group) for _, group in groupby(by_cell, key=lambda one: one.seed))
    ]


def _small(one: CombinedRow, folder: Path) -> SmallPicture:
    try:
        picture = report_html.small_of(open_photo(folder / one.path))
    except UserError:
        picture = None
    said = one.status if one.likeness is None else f"{one.status} {report_words.number(one.likeness)}"
    side = report_html.SIDE
    width, height = (picture.width, picture.height) if picture else (side, side)
    return SmallPicture(f"{one.weight:g}", report_html.data_uri(picture) if picture else "", width, height, said)


@cache
def _template() -> jinja2.Template:
    return template(report_html.TEMPLATES / "combined.html.jinja", report_html.finalize)
