"""A summary as plain text for the terminal: what was measured, on how many, and what was not."""

from __future__ import annotations

import textwrap

from lib_lora.likeness.score import ImageScore, Spread, Summary

_REMARKS = 12  # lines; the rest is counted


def table(summary: Summary, pictures: str = "pictures with the LoRA") -> str:
    """The summary of a test grid as lines of text; `pictures` says what was scored."""
    rows = [("the photos among themselves", summary.photos), (pictures, summary.with_lora)]
    if summary.without_lora is not None:
        rows.append(("pictures without it", summary.without_lora))
    width = max(len(name) for name, _ in rows)
    lines = [
        "Likeness to the photos (cosine: 1 is the same picture)",
        f"{'':{width}}  faces found  measured  median    mean  lowest tenth  lowest",
        *(f"{name:{width}}  {_numbers(row)}" for name, row in rows),
        "",
        _uplift(summary),
        _retention(summary),
    ]
    if summary.remarks:
        lines += ["", "Look at:", *(f"  {remark}" for remark in summary.remarks[:_REMARKS])]
        if len(summary.remarks) > _REMARKS:
            lines.append(f"  ... and {len(summary.remarks) - _REMARKS} more")
    return "\n".join([*lines, "", *textwrap.wrap(summary.caveat, 100)])


def score_table(scores: list[ImageScore]) -> str:
    """One line for each picture."""
    width = max((len(score.image) for score in scores), default=0)
    lines = []
    for score in scores:
        likeness = "   -  " if score.likeness is None else f"{score.likeness:6.3f}"
        size = f"{score.face.px:5.0f} px" if score.face else " " * 8
        reason = score.reason
        if score.largest is not None and score.largest != score.likeness:
            reason = "; ".join(filter(None, [reason, f"{score.faces} faces, the largest has {score.largest:.3f}"]))
        lines.append(f"{score.image:{width}}  {likeness}  {size}  {reason}".rstrip())
    return "\n".join(lines)


def _numbers(row: Spread) -> str:
    found, counted = f"{row.faces} of {row.images}", f"{row.counted}"
    cells = [f"{'-' if value is None else format(value, '.3f'):>6}" for value in _values(row)]
    return f"{found:>11}  {counted:>8}  {cells[0]}  {cells[1]}  {cells[2]:>12}  {cells[3]}"


def _values(row: Spread) -> tuple[float | None, float | None, float | None, float | None]:
    return row.median, row.mean, row.p10, row.lowest


def _uplift(summary: Summary) -> str:
    gain = summary.uplift
    if gain is None:
        return f"Gain by the LoRA: not measured: {summary.uplift_reason}."
    return (
        f"Gain by the LoRA: {gain.median:+.3f} (median of {gain.pairs} pairs of the same prompt and seed; "
        f"{gain.better} of {gain.pairs} are more alike)."
    )


def _retention(summary: Summary) -> str:
    if summary.retention is None:
        return f"Identity retention: not measured: {summary.retention_reason}."
    return f"Identity retention: {summary.retention:.0%} (0% is the base model, 100% the photos themselves)."
