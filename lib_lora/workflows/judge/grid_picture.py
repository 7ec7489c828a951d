"""Draws the one picture of a whole grid, with what each cell is called."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from lib_lora.grid.sheet import SheetCell, SheetRow, status_sheet
from lib_lora.likeness.report.report import Report, Role
from lib_lora.likeness.report.report_words import mark_of, tone_of

_ROWS: tuple[tuple[Role, str], ...] = (("base", "without the LoRA"), ("lora", "with the LoRA"))


def sheet_of(report: Report, picture: Callable[[str], Image.Image | None]) -> Image.Image:
    """All pictures of a test grid under its verdict.

    Args:
        report: of a painted grid.
        picture: the picture of a row's path; None where it is gone.
    """

    def row(role: Role, name: str, beneath: bool) -> SheetRow:
        marks = [(picture(item.path), mark_of(item)) for item in report.of(role)]
        return SheetRow(name, [SheetCell(image, mark.caption, mark.tone) for image, mark in marks], beneath)

    rows = [row(role, name, number > 0) for number, (role, name) in enumerate(_ROWS) if report.of(role)]
    if report.of("leak"):
        rows.append(row("leak", "with the LoRA, without the trigger", False))
    verdict = report.verdict
    return status_sheet(rows, verdict.headline, f"{verdict.because} {verdict.advice}", tone_of(report))
