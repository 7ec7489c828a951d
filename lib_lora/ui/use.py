"""A trained LoRA put where it is used: the webui's folder, ComfyUI's, or any other; and the prompt that calls it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.deploy import comfyui
from lib_lora.errors import UserError
from lib_lora.files import write_json
from lib_lora.jobs import leftovers, preferences
from lib_lora.ui import paths, records
from lib_lora.ui.answers import Refused, missing
from lib_lora.ui.desk import Call, Desk, Route, post
from lib_lora.ui.grids import CELLS, cells, report_of
from lib_lora.ui.records import RunRecord

_USES = 50  # that are remembered of a run
_PLACES = {"webui": "the webui", "comfyui": "ComfyUI", "folder": "a folder"}


@dataclass(frozen=True)
class Use:
    """Which checkpoint, at which weight, goes where: to "webui", "comfyui" or "folder" (then `folder` is its path)."""

    run: str
    step: int
    weight: float = 1.0
    to: str = "webui"
    folder: str = ""


def routes() -> list[Route]:
    """The one."""
    return [post("/characters/{slug}/use", use, Use)]


def use(desk: Desk, call: Call) -> dict[str, Any]:
    """Put a LoRA where it is used, with its preview and notes beside it."""
    body = call.body
    record = records.run(paths.run(paths.character(desk, call), body.run))
    if body.step not in record.saved:
        raise missing(f"Run {record.id} has no checkpoint of step {body.step} (any more).")
    if not -10 <= body.weight <= 10:
        raise UserError(f"The weight is {body.weight:g}; it must be between -10 and 10.")
    target = _target(desk, body)

    from lib_lora.deploy.folder import deliver
    from lib_lora.deploy.infotext import infotext
    from lib_lora.jobs.origin import origin_of, planned, portrait_of
    from lib_lora.training.run import load_run

    run = load_run(record.folder)
    picture, values = preview(record, body.step, body.weight)
    lora = records.checkpoint(record, body.step)
    leftovers.sweep_beside(lora.name, target)
    file = deliver(origin_of(run), lora, target, body.weight, picture)
    cell = planned(values) if values else portrait_of(run)
    text = infotext(cell, file.stem, body.weight, run.file.settings.clip_skip if record.family == "sd1" else 1)
    _remember(record, file, body)
    shown, why = True, ""
    if body.to == "webui":
        desk.host.refresh_loras(file.stem)
        answer = desk.host.shows(record.family)
        shown, why = answer.shown, answer.why
    return {
        "file": str(file),
        "stem": file.stem,
        "shown": shown,
        "why": why,
        "infotext": text,
        "prompt": text.split("\n", 1)[0],
        "text": f"{file.name} is in {target}.",
    }


def _target(desk: Desk, body: Use) -> Path:
    match body.to:
        case "webui":
            loras = desk.host.roots().loras
            if not loras:
                raise Refused(409, "There is no folder of LoRAs here; put it into a folder of your choice.")
            return loras[0]
        case "comfyui":
            comfy = preferences.load(desk.root).comfyui
            if not comfy:
                raise Refused(409, "Set ComfyUI's folder first.")
            return comfyui.folder(Path(comfy))
        case "folder":
            folder = paths.free_path(desk.host, body.folder, "a folder")
            if not folder.is_dir():
                raise UserError(f"There is no folder {folder}; make it first, or name another one.")
            return folder
    raise UserError(f"A LoRA cannot go to {body.to!r}; it goes to webui, comfyui or folder.")


def preview(record: RunRecord, step: int, weight: float) -> tuple[Path | None, dict[str, Any]]:
    """The picture for the card, and what it was asked to be: the most alike one of a test of this step, at this weight
    if there is one; none where the step was not tested."""
    grids = [one for one in records.grids(record.folder) if one.step == step]
    grids.sort(key=lambda one: abs(one.weight - weight))
    for one in grids:
        grid = record.folder / "grids" / one.id
        try:
            rows = [row for row in report_of(grid)["pictures"] if row["role"] == "lora"]
            rows.sort(key=_likeness, reverse=True)
            for row in rows:
                name = str(row["path"]).rpartition("/")[2]
                if paths.PICTURE.fullmatch(name) and (grid / CELLS / name).is_file():
                    return grid / CELLS / name, cells(grid).get(name, {})
        except (UserError, KeyError, TypeError):
            continue  # a damaged report has no best picture
    return None, {}


def _likeness(row: dict[str, Any]) -> tuple[bool, float]:
    """Those that count first, then the most alike one."""
    likeness = row["score"]["likeness"]
    return likeness is not None and not row["score"]["reason"], -2.0 if likeness is None else likeness


def _remember(record: RunRecord, file: Path, body: Use) -> None:
    here = {"file": str(file), "to": _PLACES[body.to], "step": body.step, "weight": body.weight, "t": time.time()}
    before = [one for one in records.uses(record.folder) if one["file"] != str(file)]
    write_json(record.folder / records.USES, [here, *before][:_USES])
