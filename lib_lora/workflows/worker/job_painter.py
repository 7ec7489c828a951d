"""Gives a job its painter: this process, the webui that started it, another machine, or a ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lib_lora.comfyui.comfy_address import BY
from lib_lora.grid.cells import Painter
from lib_lora.queue.job_types import (
    ChooseArguments,
    CombineArguments,
    ProduceArguments,
    Rental,
    TestArguments,
)
from lib_lora.queue.queue import Queue
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.places import LOCAL
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.painting.comfyui_painters import LateComfyPainter
from lib_lora.workflows.judge.painting.pod_painter import PaintingRent, PodPainter
from lib_lora.workflows.judge.painting.split_painter import painters_on
from lib_lora.workflows.worker.job_context import JobContext
from lib_lora.workflows.worker.remote_painter import PAINTER_ID, RemotePainter
from lib_lora.workspace.workspace import JobFolder


def rent_of(painter: Painter | None) -> dict[str, Any]:
    """What the painter's rented GPU has cost, for the job's result, once the painter is closed; else nothing."""
    return {"rent": painter.bill} if isinstance(painter, PodPainter) and painter.bill else {}


@contextmanager
def painter_for(
    context: JobContext,
    run: Run,
    asked: TestArguments | ChooseArguments | CombineArguments | ProduceArguments,
    base: Path | None = None,
    comfyui: str = "",
) -> Iterator[tuple[Painter | None, str]]:
    """Who paints while the block runs, and by which name; None = this process.

    Args:
        context: of the job.
        run: whose LoRA is painted with.
        asked: arguments of the job, which say who paints, and where.
        base: the checkpoint that the webui paints with; None = the run's own.
        comfyui: address of the ComfyUI that paints in place of all of these; empty = none does.

    Raises:
        UserError: there is no such place. ComfyUI is connected to when something is painted.
    """
    if comfyui:
        comfy = LateComfyPainter(context.root, comfyui, run, context.pipe.stopping)
        try:
            yield comfy, BY
        finally:
            comfy.close()
        return
    if asked.on != LOCAL:
        said = partial(context.emit, "progress", done=0, total=0)
        part = f"job-{context.folder.name}"
        rent = None
        if is_rented(asked.on):
            queued = Queue(context.root).get(int(context.folder.name)).created
            rent = PaintingRent(asked.rental or Rental(), queued, context.emit)
        stopping = context.pipe.stopping
        elsewhere = painters_on(context.root, asked.on, run, part, stopping, lambda text: said(text=text), rent)
        try:
            yield elsewhere, ""
        finally:
            elsewhere.close()
    elif asked.painter == "webui":
        own = Path(run.file.base.path)
        yield RemotePainter(context.pipe, JobFolder(context.folder).pictures, base or own), PAINTER_ID
    else:
        yield None, ""
