"""Answers the routes of a test grid: its pictures, measurements, verdict, and buttons that do what it advises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.responses import Response

from lib_lora.errors import UserError
from lib_lora.files import names
from lib_lora.likeness.verdict.verdict_tone import picture_mark, verdict_tone
from lib_lora.runs.records import run_records
from lib_lora.runs.records.grid_records import GridCell, PictureRecord, cells, report_of
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.http.responses import file, missing
from lib_lora.ui.routes.train.run_routes import address, changes_since, picture
from lib_lora.ui.views.advice_buttons import TestedPoint, buttons
from lib_lora.ui.views.character_snapshot import snapshot_of
from lib_lora.ui.views.report_messages import (
    LIKENESS,
    facts_of,
    kept_message,
    measured,
    missed_message,
    number_messages,
    verdict_messages,
    verdict_of,
)
from lib_lora.workspace.grid_files import CELLS, REPORT_FILE
from lib_lora.workspace.workspace import CharacterFolder

SHEET, PAGE = "sheet.png", "report.html"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def routes() -> list[Route]:
    """The routes for test grids."""
    return [
        get("/characters/{slug}/runs/{run}/grids/{grid}", grid_or_changes, "since"),
        get("/characters/{slug}/runs/{run}/grids/{grid}/pictures/{name}", cell),
        get("/characters/{slug}/runs/{run}/grids/{grid}/report.html", page),
        get("/characters/{slug}/runs/{run}/grids/{grid}/sheet.png", sheet),
    ]


def _side(planned: Mapping[str, GridCell]) -> int:
    """Pixels of the narrower side of the pictures; 0 without a plan."""
    return min((one.cell.width for one in planned.values()), default=0)


def _folders(context: RequestContext, call: Call) -> tuple[CharacterFolder, Path, Path]:
    folder = paths.character(context, call)
    run = paths.run(folder, call.path["run"])
    return folder, run, paths.grid(run, call.path["grid"])


def grid_or_changes(context: RequestContext, call: Call) -> dict[str, Any]:
    """A test grid; one that is still being painted has no verdict. With `since` (the `mark` of the previous response,
    empty at first), only the parts that have `changed`; if none has, the `mark`."""
    return changes_since(context, call, read_grid(context, call))


def read_grid(context: RequestContext, call: Call) -> dict[str, Any]:
    """A test grid."""
    folder, run, grid = _folders(context, call)
    slug = folder.path.name
    planned = cells(grid)
    report = report_of(grid) if (grid / REPORT_FILE).is_file() else None
    if report is None:
        return _begun(slug, run, grid, planned)
    try:
        facts, known = report["facts"], facts_of(report["facts"])
        verdict = verdict_of(report["verdict"])
        weight, side = float(facts.get("weight") or 1.0), _side(planned)
        at = TestedPoint(run.name, facts.get("step"), weight, side, facts.get("last"))
        digests = snapshot_of(folder).digests
        record = run_records.grid(grid)
        return {
            "id": grid.name,
            "run": run.name,
            "step": record.step if record else facts["step"],
            "weight": facts["weight"],
            "more": list(record.more) if record else [],
            "made": report["made"],
            "verdict": {key: value for key, value in report["verdict"].items() if key != "rule"}
            | {"tone": verdict_tone(verdict.kind, verdict.judged), "messages": verdict_messages(verdict, known)},
            "facts": facts,
            "kept": kept_message(facts),
            "measured": measured(facts),
            "about_likeness": LIKENESS,
            "numbers": number_messages(known),
            "rows": [_row(slug, run, grid, PictureRecord.read(one), planned) for one in report["pictures"]],
            "photos": [
                {"file": one["file"], "sha256": digests.get(one["file"], ""), "likeness": one["likeness"]}
                for one in report["photos"]
            ],
            "tested": report["tested"],
            "shares": report["shares"],
            "missed": [one["text"] for one in report.get("missed", [])],
            "missed_messages": [missed_message(one) for one in report.get("missed", [])],
            "buttons": [one.for_programs() for one in buttons(at, verdict, run_records.run(run).saved)],
            "html": address(slug, "runs", run.name, "grids", grid.name, PAGE, of=grid / PAGE),
            "engine": report["engine"],
            "clip": report["clip"],
            "small_print": report["small_print"],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{grid / REPORT_FILE} is damaged ({error}); test the LoRA again.",
            code="report-damaged",
            file=grid / REPORT_FILE,
        ) from error


def _begun(slug: str, run: Path, grid: Path, planned: Mapping[str, GridCell]) -> dict[str, Any]:
    if not planned:
        raise missing("This test grid has no plan; paint a new one.")
    there = set(names(grid / CELLS))
    rows = [
        {
            "role": one.role,
            "name": one.cell.name,
            "prompt": one.cell.prompt,
            "seed": one.cell.seed,
            "status": None,
            "mark": None,
            "copy": False,
            "likeness": None,
            "url": _url(slug, run, grid, name) if name in there else "",
        }
        for name, one in planned.items()
    ]
    first = next(iter(planned.values()))
    step = first.lora.removesuffix(".safetensors").rpartition("-")[2]
    return {
        "id": grid.name,
        "run": run.name,
        "step": int(step) if step.isascii() and step.isdecimal() else None,
        "weight": first.cell.weight,
        "more": [f"{path.stem}:{weight:g}" for path, weight in first.cell.more],
        "made": None,
        "verdict": None,
        "facts": {},
        "kept": None,
        "measured": [],
        "about_likeness": "",
        "numbers": [],
        "rows": rows,
        "photos": [],
        "tested": [],
        "shares": [],
        "missed": [],
        "missed_messages": [],
        "buttons": [],
        "html": "",
    }


def _row(slug: str, run: Path, grid: Path, one: PictureRecord, planned: Mapping[str, GridCell]) -> dict[str, Any]:
    asked = planned[one.file].cell if one.file in planned else None
    return {
        "role": one.role,
        "name": (asked.name if asked else "") or one.prompt,
        "prompt": asked.prompt if asked else one.prompt,
        "seed": asked.seed if asked else one.seed,
        "status": one.status,
        "mark": dict(zip(("word", "tone"), picture_mark(one.role, one.status, one.copy), strict=True)),
        "copy": one.copy,
        "likeness": one.likeness,
        "reason": one.reason,
        "nearest": one.nearest,
        "url": _url(slug, run, grid, one.file) if one.is_there(grid) else "",
    }


def _url(slug: str, run: Path, grid: Path, name: str) -> str:
    return address(slug, "runs", run.name, "grids", grid.name, "pictures", name, of=grid / CELLS / name)


def cell(context: RequestContext, call: Call) -> Response:
    """A picture of a test grid."""
    _, _, grid = _folders(context, call)
    return picture(paths.picture_in(grid / CELLS, call.path["name"]))


def page(context: RequestContext, call: Call) -> Response:
    """The whole report as one page, which needs no scripts and is not allowed to run any."""
    _, _, grid = _folders(context, call)
    return file(grid / PAGE, "text/html; charset=utf-8", {"Content-Security-Policy": POLICY})


def sheet(context: RequestContext, call: Call) -> Response:
    """The contact sheet: all pictures of a test grid in one image."""
    _, _, grid = _folders(context, call)
    return file(grid / SHEET, "image/png")
