"""Does some steps of the run in a data folder that another computer has sent, and says what they took."""

from __future__ import annotations

from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import write_json
from lib_lora.queue.running.worker_pipe import WorkerPipe
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.train.prepare import settle
from lib_lora.workflows.train.speed_probe import MEASURED, measure_run
from lib_lora.workspace.workspace import RunFolder


def rehearse_run(data: Path, pipe: WorkerPipe) -> None:
    """Measure the only run in the folder; the figures, or why there are none, are in `MEASURED` then.

    Args:
        data: the folder.
        pipe: to the parent; its end, or its wish, ends this.
    """
    error, measured = "", None
    try:
        [file] = data.glob(f"characters/*/runs/*/{RunFolder.FILE}")
        run = settle(load_run(file.parent))

        def emit(_kind: str, **_fields: object) -> None:
            pipe.check()

        measured = measure_run(run, emit)
    except UserError as refused:
        error = str(refused)
    write_json(data / MEASURED, {"error": error, "measured": None if measured is None else measured.values()})
