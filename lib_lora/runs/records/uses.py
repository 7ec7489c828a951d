"""Remembers where a run's LoRAs were copied to, and keeps their previews current there."""

from __future__ import annotations

import time
from pathlib import Path

from lib_lora.deploy.folder import add_preview
from lib_lora.errors import UserError
from lib_lora.files import write_json
from lib_lora.runs.records import run_records
from lib_lora.runs.records.origin import lora_origin
from lib_lora.training.plan.run_file import Run
from lib_lora.workspace.workspace import RunFolder

_MOST = 50  # that are remembered of a run


def remember(run_folder: Path, file: Path, to: str, step: int, weight: float) -> None:
    """Note that a LoRA was copied to somewhere.

    Args:
        run_folder: of its run.
        file: the copy.
        to: where, in words.
        step: of the checkpoint.
        weight: at which it is used.

    Raises:
        UserError: it cannot be written.
    """
    here = {"file": str(file), "to": to, "step": step, "weight": weight, "t": time.time()}
    before = [one for one in run_records.uses(run_folder) if one["file"] != str(file)]
    write_json(RunFolder(run_folder).uses, [here, *before][:_MOST])


def renew_previews(run: Run, step: int, weight: float, picture: Path) -> None:
    """Give every delivered copy of a checkpoint that is used at this weight the best picture of its newest test.

    A picture of the user's own stays. What cannot be renewed keeps the picture that it has: the test counts.
    """
    for one in run_records.uses(run.folder):
        file = Path(str(one.get("file")))
        if (one.get("step"), one.get("weight")) != (step, weight) or not file.is_file():
            continue
        try:
            add_preview(lora_origin(run), file, picture)
        except UserError:
            continue
