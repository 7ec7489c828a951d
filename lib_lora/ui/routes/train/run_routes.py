"""Answers the routes of a character's runs: their settings, progress, checkpoints, samples and test grids."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi.responses import Response

from lib_lora.files import PICTURE_NAME
from lib_lora.likeness.verdict.verdict_tone import verdict_tone
from lib_lora.runs.records import run_records
from lib_lora.runs.records.run_history import history_of
from lib_lora.runs.records.run_records import GridRecord, RunRecord
from lib_lora.training.plan.presets import asked_in_run
from lib_lora.typed_settings import by_dotted_key, to_dict
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.http.responses import FOREVER, file
from lib_lora.ui.routes.overview_routes import progress
from lib_lora.workspace.file_cache import mark
from lib_lora.workspace.grid_files import PLAN_FILE
from lib_lora.workspace.workspace import RunFolder

if TYPE_CHECKING:
    from lib_lora.queue.queue import Job

SAMPLES = "samples"


def routes() -> list[Route]:
    """The routes for runs, except their grids."""
    return [
        get("/characters/{slug}/runs", listed),
        get("/characters/{slug}/runs/{run}", run_or_changes, "since"),
        get("/characters/{slug}/runs/{run}/samples/{name}", sample),
    ]


def listed(context: RequestContext, call: Call) -> list[dict[str, Any]]:
    """All runs of a character, newest first; `best`, in its run, is the test whose step and weight are recommended."""
    folder = paths.character(context, call)
    open_jobs = context.queue.open()
    found = [(record, run_records.grids(record.folder)) for record in run_records.runs(folder)]
    best = run_records.best(found)
    runs = [_run_values(record, folder.path.name, open_jobs) for record, _ in found]
    for one, (_, grids) in zip(runs, found, strict=True):
        one["best"] = next((grid.id for grid in grids if grid is best), "")
    return runs


def _run_values(record: RunRecord, slug: str, open_jobs: Sequence[Job]) -> dict[str, Any]:
    done, total, _ = progress(record)
    working = [job for job in open_jobs if job.slug == slug and job.run == record.id]
    base = Path(record.base)
    return {
        "id": record.id,
        "created": record.created,
        "base": base.name,
        "base_path": record.base,
        "base_there": base.is_file(),
        "family": record.family,
        "preset": record.settings.preset,
        "photos": record.photos,
        "steps": done,
        "total": total,
        "trained": done,
        "checkpoints": record.saved,
        "saved": max(record.saved, default=0),
        "step_to_use": record.step_to_use,
        "grids": [_grid(one) for one in run_records.grids(record.folder)],
        "resumable": max(record.saved, default=0) < total and RunFolder(record.folder).states.is_dir(),
        "lent": mark(RunFolder(record.folder).loan) is not None,
        "job": working[0].id if working else None,
    }


def _grid(record: GridRecord) -> dict[str, Any]:
    return {**asdict(record), "tone": verdict_tone(record.kind, record.judged), "made": seconds(record.made)}


def seconds(iso: str) -> float | None:
    """Unix seconds of an ISO time; None if it is not one."""
    try:
        return datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return None


def run_or_changes(context: RequestContext, call: Call) -> dict[str, Any]:
    """A run with its history: loss, samples, warnings, and test grids that are still being painted. With `since` (the
    `mark` of the previous response, empty at first), only the parts that have `changed`; if none has, the `mark`."""
    return changes_since(context, call, read_run(context, call))


def changes_since(context: RequestContext, call: Call, whole: dict[str, Any]) -> dict[str, Any]:
    """What of an answer has changed since the one that a page has, where it names that one; else all of it."""
    if "since" not in call.query:
        return whole
    return context.changes.since(call.query["since"], deepcopy(whole), {})  # a run's history grows in its place


def read_run(context: RequestContext, call: Call) -> dict[str, Any]:
    """A run with its history."""
    folder = paths.character(context, call)
    record = run_records.run(paths.run(folder, call.path["run"]))
    history = history_of(RunFolder(record.folder).events)
    slug = folder.path.name
    values = _run_values(record, slug, context.queue.open())
    begun: list[dict[str, Any]] = [
        {
            "id": name,
            "step": None,
            "weight": 1.0,
            "kind": "",
            "headline": "",
            "drift": False,
            "judged": False,
            "tone": "none",
        }
        | {"retention": None, "made": None, "more": []}
        for name in run_records.identifiers(RunFolder(record.folder).grids, PLAN_FILE)
        if name not in {grid["id"] for grid in values["grids"]}
    ]
    settings = to_dict(record.settings)
    del settings["version"]  # of the file's layout
    return {
        **values,
        "grids": sorted([*values["grids"], *begun], key=lambda grid: int(grid["id"]), reverse=True),
        "loss": history.curve(),
        "probe": history.probe,
        "likeness": history.likeness,
        "samples": [one for event in history.samples if (one := _sample(record, slug, event))],
        "warnings": history.warnings,
        "settings": by_dotted_key(settings),
        "asked": asked_in_run(record.settings, record.family),
    }


def _sample(record: RunRecord, slug: str, event: dict[str, Any]) -> dict[str, Any] | None:
    name = str(event["file"]).replace("\\", "/").rsplit("/", 1)[-1]
    path = RunFolder(record.folder).samples / name
    if not PICTURE_NAME.fullmatch(name) or not path.is_file():
        return None
    return {
        "step": event["step"],
        "number": event.get("number", 1),
        "url": address(slug, "runs", record.id, SAMPLES, name, of=path),
        "prompt": event.get("prompt", ""),
        "role": event.get("role", ""),
    }


def address(slug: str, *parts: str, of: Path | None = None) -> str:
    """A path below the routes. With `of` a file's time, so that a browser keeps the file until it is another."""
    found = mark(of) if of else None
    return "/".join(["/characters", quote(slug), *map(quote, parts)]) + (f"?v={found[0]}" if found else "")


def sample(context: RequestContext, call: Call) -> Response:
    """A sample picture of a run."""
    run = paths.run(paths.character(context, call), call.path["run"])
    return picture(paths.picture_in(RunFolder(run).samples, call.path["name"]))


def picture(path: Path) -> Response:
    """A painted picture."""
    return file(path, paths.MEDIA[path.suffix.lower()], FOREVER)
