"""Keeps what a combination with another LoRA showed, as ``combined.json`` in its folder; words it for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.files import read_json, write_json
from lib_lora.likeness.comparing.weight_curve import WeightPoint
from lib_lora.likeness.comparing.weight_verdict import CombinedVerdict
from lib_lora.likeness.verdict.facts import Status
from lib_lora.workspace.grid_files import COMBINED_FILE, COMBINED_VERSION

KINDS = {
    "alone": "without it",
    "survives": "survives",
    "changes": "changes",
    "lost": "is lost",
    "unclear": "cannot be told",
    "too few": "too few faces",
    "not measurable": "not measurable",
}


@dataclass(frozen=True)
class CombinedRow:
    """One picture: the weight of the other LoRA, its path relative to the folder, and what was measured."""

    weight: float
    path: str
    prompt: str
    seed: int
    status: Status
    likeness: float | None


@dataclass(frozen=True)
class CombinedReport:
    """Everything, ready to be kept and shown.

    Attributes:
        verdict: what is said.
        points: what each weight shows, from 0; empty where nothing was painted.
        pictures: one row each.
        character, run, step, weight: which checkpoint, at which weight.
        lora, lora_sha256: file name and SHA-256 of the other LoRA.
        base: file name of the base model.
        engine, ruler: of the face, as `likeness.report.report.Report`.
        grid: the test grid of the LoRA alone that has the lines.
        made: ISO 8601 date and time in UTC.
        version: of this layout.
    """

    verdict: CombinedVerdict
    points: list[WeightPoint]
    pictures: list[CombinedRow]
    character: str
    run: str
    step: int
    weight: float
    lora: str
    lora_sha256: str
    base: str
    engine: str
    ruler: str
    grid: str
    made: str
    version: int = field(default=COMBINED_VERSION)


def save(report: CombinedReport, folder: Path) -> None:
    """Write it into its folder, atomically."""
    write_json(folder / COMBINED_FILE, typed_settings.to_dict(report))


def values_of(path: Path) -> dict[str, Any]:
    """What `save` wrote, as plain values.

    Raises:
        UserError: missing, damaged, or of another version.
    """
    found = read_json(path)
    if not isinstance(found, dict) or found.get("version") != COMBINED_VERSION:
        raise UserError(
            f"{path} is not a report of this version of SameFace; combine the LoRAs again.",
            code="combined-of-other-version",
            file=path,
        )
    return found


def as_text(report: CombinedReport) -> str:
    """The report as text for a terminal."""
    verdict = report.verdict
    lines = [f"{verdict.headline}.", verdict.because, f"Do next: {verdict.advice}"]
    if report.points:
        lines += ["", "  weight  kept                 change to weight 0     pairs  the face"]
        lines += [_line(one) for one in report.points]
    lines += [_dropped(one) for one in report.points if one.dropped]
    if lost := max((one.lost_alone for one in report.points), default=0):
        lines.append(f"{lost} of the pictures show another face without it already, and do not count.")
    return "\n".join(lines)


def _line(one: WeightPoint) -> str:
    kept = with_interval(one.retention, one.low, one.high)
    change = with_interval(one.change, one.change_low, one.change_high, "+")
    return f"  {one.weight:6g}  {kept:19}  {change:21}  {one.pairs:5d}  {KINDS[one.kind]}"


def _dropped(one: WeightPoint) -> str:
    of = one.pairs + one.dropped
    return f"At weight {one.weight:g}, {one.dropped} of {of} faces cannot be measured and do not count."


def with_interval(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """A share with its interval in words; a dash where it was not measured. `sign` "+" says that it is a change."""
    if value is None or low is None or high is None:
        return "-"
    return f"{value:{sign}.0%} ({low:{sign}.0%} to {high:{sign}.0%})"
