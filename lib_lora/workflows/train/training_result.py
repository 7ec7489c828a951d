"""Gives the result of a training in plain values for programs. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_lora.training.plan.run_file import Run, load_run, saved_steps
from lib_lora.workflows.listing import newest_test


def values_of(run: Run, delivered: Path | None = None) -> dict[str, Any]:
    """The run, its newest LoRA, and what the newest test said of it.

    Args:
        run: as it was before it was done.
        delivered: where its LoRA was put beside that.
    """
    run = load_run(run.folder)
    saved = saved_steps(run)
    return {
        "character": run.file.character.name,
        "run": run.file.id,
        "folder": str(run.folder),
        "step": saved[-1] if saved else None,
        "lora": str(run.checkpoint(saved[-1])) if saved else None,
        "delivered": str(delivered) if delivered else None,
        "test": newest_test(run.folder.parent, [run.folder.name]),
    }
