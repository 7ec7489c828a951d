"""Answers the routes of combining another LoRA with the character's: which there are, and what was found with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.responses import Response

from lib_lora.errors import UserError
from lib_lora.files import read_json
from lib_lora.hosts.temporary_loras import FOLDER
from lib_lora.likeness.verdict.verdict_tone import combined_tone
from lib_lora.lora.file.named_loras import NamedLoras
from lib_lora.runs.records import run_records
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.http.responses import file, missing
from lib_lora.ui.routes.job_routes import lora_folders
from lib_lora.ui.routes.pictures.grid_routes import POLICY
from lib_lora.ui.routes.train.run_routes import address, seconds
from lib_lora.workspace.file_cache import kept, mark
from lib_lora.workspace.grid_files import COMBINED_FILE, COMBINED_VERSION
from lib_lora.workspace.workspace import RunFolder

PAGE = "combined.html"


def routes() -> list[Route]:
    """The routes for further LoRAs."""
    return [
        get("/loras", listed),
        get("/characters/{slug}/combined", found),
        get("/characters/{slug}/runs/{run}/combined/{combined}/combined.html", page),
    ]


def listed(context: RequestContext, _call: Call) -> list[dict[str, str]]:
    """The LoRAs in the webui's folders, and in the folder `loras` of the data folder, by name."""
    known = NamedLoras(lora_folders(context)).known()
    there = {name: path for name, path in known.items() if FOLDER not in path.parts}
    return [{"name": name, "file": str(there[name])} for name in sorted(there, key=str.casefold)]


def found(context: RequestContext, call: Call) -> list[dict[str, Any]]:
    """What was found of a character's face with other LoRAs, the newest first: a verdict, and what is kept at each
    weight of the other LoRA. One that is damaged, or of another version, is left out."""
    folder = paths.character(context, call)
    every = []
    for run in run_records.identifiers(folder.runs, RunFolder.FILE):
        home = folder.run(run).combined
        for name in run_records.identifiers(home, COMBINED_FILE):
            if one := _one(home / name):
                values = {
                    "id": name,
                    "html": address(folder.path.name, "runs", run, "combined", name, PAGE, of=home / name / PAGE),
                }
                every.append({**one, **values})
    return sorted(every, key=lambda one: one["made"] or 0.0, reverse=True)


def _one(folder: Path) -> dict[str, Any] | None:
    path = folder / COMBINED_FILE
    return kept(("combined", folder), mark(path), lambda: _read(path))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = read_json(path)
        if values.get("version") != COMBINED_VERSION:
            return None
        verdict = values["verdict"]
        return {
            "run": str(values["run"]),
            "step": int(values["step"]),
            "weight": float(values["weight"]),
            "lora": Path(str(values["lora"])).stem,
            "made": seconds(str(values["made"])),
            "verdict": {name: verdict[name] for name in ("kind", "headline", "because", "advice", "messages", "judged")}
            | {"tone": combined_tone(str(verdict["kind"]), bool(verdict["judged"]))}
            | {"action": verdict["action"], "value": verdict["value"]},
            "points": [
                {name: one[name] for name in ("weight", "retention", "low", "high", "pairs", "kind")}
                for one in values["points"]
            ],
            "pictures": max((int(one["pictures"]) for one in values["points"]), default=0),
        }
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return None


def page(context: RequestContext, call: Call) -> Response:
    """What was found as one page, which needs no scripts and is not allowed to run any."""
    run = paths.run(paths.character(context, call), call.path["run"])
    folder = RunFolder(run).combined / paths.identifier(call.path["combined"], "combination")
    if not (folder / PAGE).is_file():
        raise missing("There is no such combination.")
    return file(folder / PAGE, "text/html; charset=utf-8", {"Content-Security-Policy": POLICY})
