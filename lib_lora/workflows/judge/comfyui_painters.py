"""The painter that paints a run's pictures through a ComfyUI, from its address alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lib_lora.comfyui.comfy_api import ComfyApi
from lib_lora.comfyui.comfy_files import ComfyFiles
from lib_lora.comfyui.comfy_painter import ComfyJob, ComfyPainter
from lib_lora.deploy.comfyui import folder
from lib_lora.errors import UserError
from lib_lora.files import slug
from lib_lora.models.families.registry import family_named
from lib_lora.runs.origin import comfy_base
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.painters import LocalVae
from lib_lora.workspace import preferences


def comfyui_painter(root: Path, address: str, run: Run, stopping: Callable[[], bool] = lambda: False) -> ComfyPainter:
    """The painter for a run's pictures; it is to be closed. Plans of what it paints have its `by`.

    Args:
        root: the data folder, whose settings name ComfyUI's folder where it is on this machine.
        address: such as ``127.0.0.1:8188``.
        run: whose base model, clip skip and LoRAs are painted with.
        stopping: asked meanwhile; true = paint no more.

    Raises:
        UserError: ComfyUI cannot be reached, does not have the base model, or the model is of a kind that its plain
            workflow does not paint.
    """
    base = run.file.base
    family = family_named(base.family)
    if family.objective != "diffusion":
        raise UserError(
            f"{Path(base.path).name} is {family.label}, which needs another workflow in ComfyUI than SameFace's; "
            "choose the webui as the painter.",
            code="comfyui-family-unknown",
            family=base.family,
        )
    api = ComfyApi(address)
    api.version()  # whatever is wrong with the address is said first
    files = ComfyFiles(api, _loras(root), slug(run.file.character.name))
    there = comfy_base(run, files.checkpoint(Path(base.path)))
    return ComfyPainter(api, files, ComfyJob(there, Path(base.path).stem, stopping), LocalVae(run.model))


def _loras(root: Path) -> Path | None:
    """The folder for LoRAs of the ComfyUI that is set; the one that paints may be another, so it may be gone."""
    comfy = preferences.load(root).comfyui
    with suppress(UserError):
        return folder(Path(comfy)) if comfy else None
    return None
