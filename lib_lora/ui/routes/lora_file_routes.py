"""Gives the LoRA of a saved step as a file: where it is, its bytes for a browser, and the prompt that activates it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.responses import Response

from lib_lora.errors import UserError
from lib_lora.queue.job_types import PROMPT_WEIGHT
from lib_lora.runs.records import run_records
from lib_lora.runs.records.grid_records import painted
from lib_lora.runs.records.run_records import RunRecord
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get
from lib_lora.ui.http.responses import file, missing
from lib_lora.ui.routes.train.run_routes import address
from lib_lora.ui.routes.use_routes import framing_of, text_of
from lib_lora.ui.views.character_snapshot import snapshot_of


def routes() -> list[Route]:
    """The routes for its details and its bytes."""
    return [
        get("/characters/{slug}/runs/{run}/lora/{step}", read_lora_file, "weight"),
        get("/characters/{slug}/runs/{run}/lora/{step}/file", download),
    ]


def _checkpoint(context: RequestContext, call: Call) -> tuple[RunRecord, int, Path]:
    record = run_records.run(paths.run(paths.character(context, call), call.path["run"]))
    step = paths.number(call.path["step"], "step")
    path = run_records.checkpoint(record, step)
    if step not in record.saved or not path.is_file():
        raise missing(f"Run {record.id} has no checkpoint of step {step}.")
    return record, step, path


def read_lora_file(context: RequestContext, call: Call) -> dict[str, Any]:
    """The LoRA of a saved step: its path, its size, the address of its bytes, and the prompt that activates it."""
    record, step, path = _checkpoint(context, call)
    try:
        weight = float(call.query.get("weight", "1"))
    except ValueError:
        weight = math.nan
    if weight not in PROMPT_WEIGHT:
        raise UserError(f"The weight must be a number from {PROMPT_WEIGHT}.", code="weight-out-of-range")
    framing = framing_of(snapshot_of(paths.character(context, call)))
    text = text_of(record, painted(record, step, weight), framing, path.stem, weight)
    return {
        "file": str(path),
        "name": path.name,
        "bytes": path.stat().st_size,
        "url": address(call.path["slug"], "runs", record.id, "lora", str(step), "file"),
        "prompt": text.split("\n", 1)[0],
        "infotext": text,
    }


def download(context: RequestContext, call: Call) -> Response:
    """The LoRA of a saved step as a download."""
    _, _, path = _checkpoint(context, call)
    kept = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name)}"}
    return file(path, "application/octet-stream", kept)
