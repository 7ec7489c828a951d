"""Does the job of a production, in the worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lib_lora.comfyui.comfy_address import BY, DEFAULT
from lib_lora.queue.job_types import ProduceArguments
from lib_lora.runs.run_names import newest
from lib_lora.workflows.produce import production_store
from lib_lora.workflows.produce.produce_command import work_on
from lib_lora.workflows.produce.production import WEBUI
from lib_lora.workflows.produce.prompts.prompt_list import PromptFolders
from lib_lora.workflows.worker.job_context import JobContext
from lib_lora.workflows.worker.job_painter import painter_for, rent_of
from lib_lora.workspace.preferences import chosen_engine
from lib_lora.workspace.workspace import Workspace


def produce(arguments: ProduceArguments, context: JobContext) -> dict[str, Any]:
    """See `workflows.produce.produce_command.work_on`."""
    folder = Workspace(context.root).character(context.character)
    production = production_store.named(folder, arguments.production)
    plan = production.plan()
    run = newest(folder, context.character, plan.run, trained=True)
    context.note_run(run.file.id)
    folders = PromptFolders([*map(Path, arguments.wildcards)], [*map(Path, arguments.loras)])
    engine = chosen_engine(context.root)
    arguments = replace(arguments, painter="webui" if plan.by == WEBUI else "worker")
    comfyui = (arguments.comfyui or DEFAULT) if plan.by == BY else ""
    with painter_for(context, run, arguments, comfyui=comfyui) as (painting, _):
        progress = work_on(run, production, engine, context.emit, folders, painting, context.pipe.stopping)
    return {
        "production": production.id,
        "run": run.file.id,
        "kept": progress.done,
        "wanted": plan.count,
        "painted": progress.painted,
        **rent_of(painting),
    }
