"""Keeps the previews of a run's LoRAs current wherever they were copied to."""

from __future__ import annotations

from pathlib import Path

from lib_lora.deploy.folder import add_preview
from lib_lora.errors import UserError
from lib_lora.runs import run_records
from lib_lora.runs.origin import lora_origin
from lib_lora.training.plan.run_file import Run


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
