"""What a painted test grid shows: the faces scored against the photos, kept in its ``report.json``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lora import settings
from lib_lora.errors import UserError
from lib_lora.files import read_json, write_json
from lib_lora.jobs.scoring import template_of
from lib_lora.likeness.engine import SFaceEngine
from lib_lora.likeness.score import ImageScore, Summary, score_images, summarise
from lib_lora.likeness.table import table
from lib_lora.training.run import Run

CELLS = "cells"
SHEET = "sheet.jpg"  # all of them on one picture
PLAN_FILE = "plan.json"
REPORT_FILE = "report.json"


@dataclass(frozen=True)
class GridReport:
    """What a painted and scored grid leaves.

    Attributes:
        folder: its folder, with plan.json, cells/ and report.json.
        preview: the picture for the webui's card: the most alike one, else the first.
        text: the table.
    """

    folder: Path
    preview: Path
    text: str


def score_grid(
    run: Run, folder: Path, ours: Sequence[Path], plain: Sequence[Path], emit: Callable[..., None]
) -> GridReport:
    """Score painted cells against the photos, and write the report.

    Where no photo shows a face (a drawn character, say) there is nothing to compare with; the report says so, and
    the pictures are there to be looked at.

    Args:
        run: whose character it is.
        folder: of the grid.
        ours: pictures with the LoRA.
        plain: the same without it, in the same order.
        emit: for events.

    Raises:
        UserError: the folder cannot be written.
    """
    engine = SFaceEngine()
    summary: Summary | None = None
    scores: list[ImageScore] = []
    base_scores: list[ImageScore] = []
    reason = ""
    try:
        template = template_of(run.character_folder, engine)
    except UserError as error:
        reason = str(error)
    else:
        scores, base_scores = score_images(engine, template, ours), score_images(engine, template, plain)
        summary = summarise(scores, base_scores, template)
    values = {
        "summary": settings.to_dict(summary) if summary else None,
        "reason": reason,
        "with_lora": [settings.to_dict(score) for score in scores],
        "without_lora": [settings.to_dict(score) for score in base_scores],
        "preview": _most_alike(scores) or ours[0].name,
    }
    write_json(folder / REPORT_FILE, values)
    likeness, retention = (summary.with_lora.mean, summary.retention) if summary else (None, None)
    emit("grid", folder=str(folder), likeness=likeness, retention=retention)
    return read_report(folder)


def read_report(folder: Path) -> GridReport:
    """The report of a grid.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / REPORT_FILE
    values = read_json(path)
    try:
        preview, reason, known = folder / CELLS / values["preview"], values["reason"], values["summary"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no report of this version of SameFace; paint the grid again.") from error
    text = table(settings.from_dict(Summary, known, str(path))) if known else f"Likeness: not measured. {reason}"
    return GridReport(folder, preview, f"{text}\nAll on one picture: {folder / SHEET}")


def finished_grid(run: Run, plan: object) -> GridReport | None:
    """The report of the newest grid that was painted by this very plan; None where there is none."""
    for path in sorted(run.grids.glob(f"*/{REPORT_FILE}"), reverse=True):
        try:
            if read_json(path.with_name(PLAN_FILE)) == plan:
                report = read_report(path.parent)
                if report.preview.is_file():
                    return report
        except UserError:
            continue  # damaged or of another version: it is painted again
    return None


def _most_alike(scores: Sequence[ImageScore]) -> str | None:
    """The picture with the highest likeness, those that count first."""
    found = [(score.counts, score.likeness, score.image) for score in scores if score.likeness is not None]
    return max(found)[2] if found else None
