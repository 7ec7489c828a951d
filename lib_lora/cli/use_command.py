"""Adds the command that puts a trained LoRA to use: in ComfyUI, with a workflow, or in any folder."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.cli.arguments import Answer, Commands, finite
from lib_lora.errors import UserError
from lib_lora.runs.run_names import HOW, WHICH_STEP, checkpoint_named, run_named
from lib_lora.workspace import preferences
from lib_lora.workspace.workspace import data_root

if TYPE_CHECKING:
    from lib_lora.deploy.comfyui import ComfyFolders
    from lib_lora.training.plan.run_file import Run


def add(command: Commands) -> None:
    """Add this command."""
    use = command("use", _use, "Copy a trained LoRA to ComfyUI, with a workflow that paints with it, or to a folder.")
    use.add_argument("run", metavar="RUN", help=HOW)
    use.add_argument("--run", dest="number", metavar="ID", help="which run of the character (default: the newest)")
    use.add_argument("--step", type=int, help=WHICH_STEP)
    use.add_argument("--weight", type=finite, default=1.0, help="at which it is used (default: 1)")
    use.add_argument(
        "--base-licence",
        default="",
        metavar="TEXT",
        help="of the base model, for the LoRA's metadata, where the model's file names none",
    )
    where = use.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--comfyui",
        nargs="?",
        const="",
        metavar="DIR",
        help="ComfyUI's folder, or its extra_model_paths.yaml (without DIR: the folder that the page has set)",
    )
    where.add_argument("--to", type=Path, metavar="DIR", help="any folder; created if it does not exist")


def _use(options: argparse.Namespace) -> Answer:
    root = data_root(options.data)
    run = run_named(root, options.run, options.number, trained=True)
    step = checkpoint_named(run, options.step)
    there = None if options.comfyui is None else _comfyui(root, options.comfyui)

    from lib_lora.deploy.folder import deliver
    from lib_lora.deploy.vector_files import vectors_note
    from lib_lora.runs.records import run_records
    from lib_lora.runs.records.grid_records import painted
    from lib_lora.runs.records.origin import lora_origin
    from lib_lora.runs.records.uses import remember
    from lib_lora.workflows.library.base_terms import with_terms

    pictures = painted(run_records.run(run.folder), step, options.weight)
    best = pictures[0].path if pictures else None
    target = there.loras if there else options.to
    origin = replace(lora_origin(run), licence=options.base_licence)
    origin = with_terms(root, origin, run.file.base.sha256)
    file = deliver(origin, run.checkpoint(step), target, options.weight, best)
    remember(run.folder, file, "ComfyUI" if there else "a folder", step, options.weight)
    written = _workflows(run, file, there, options.weight, best) if there else []
    text = f"{file.name} is in {file.parent}."
    if own := vectors_note(file, origin.character.name, run.checkpoint(step)):
        text += f"\n{own}."
    if written:
        text += f"\nTo paint with it, drop this picture on ComfyUI's page: {written[0]}"
    if len(written) > 3:
        text += f"\nIt is also in ComfyUI's list of workflows: {written[3].stem}"
    return Answer(text, {"file": str(file), "workflows": [str(one) for one in written]})


def _comfyui(root: Path, asked: str) -> ComfyFolders:
    from lib_lora.deploy.comfyui import folders

    named = asked or preferences.load(root).comfyui
    if not named:
        raise UserError("Name ComfyUI's folder after --comfyui.", "comfyui", code="comfyui-folder-not-named")
    return folders(Path(named))


def _workflows(run: Run, file: Path, there: ComfyFolders, weight: float, best: Path | None) -> list[Path]:
    from lib_lora.deploy.comfyui_workflows import Recipe, write_workflows
    from lib_lora.runs.records.origin import comfy_base, portrait_of

    return write_workflows(file, there, Recipe(portrait_of(run), comfy_base(run), weight, best))
