"""Gives the origin of the LoRAs that come from a run, its base model, and the picture that shows its character."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.comfyui.workflow import ComfyBase
from lib_lora.deploy.infotext import portrait
from lib_lora.models.families.registry import family_named
from lib_lora.pictures import Cell
from lib_lora.training.plan.run_file import Run

if TYPE_CHECKING:
    from lib_lora.deploy.folder import LoraOrigin


def lora_origin(run: Run) -> LoraOrigin:
    """The origin of all checkpoints of a run."""
    from lib_lora.deploy.folder import LoraOrigin  # loads torch, which the picture does not need

    file = run.file
    own = sum(not photo.prior and not photo.of for photo in file.photos)
    base = file.base
    return LoraOrigin(
        file.id, file.character, own, Path(base.path), base.family, terms=base.terms, others=tuple(file.others)
    )


def comfy_base(run: Run, checkpoint: str = "") -> ComfyBase:
    """A run's base model as ComfyUI is asked for it.

    Args:
        run: whose.
        checkpoint: its name in ComfyUI's list; empty = the file's.
    """
    base = run.file.base
    skip = run.file.settings.clip_skip if family_named(base.family).most_clip_skip else 1
    name = checkpoint or Path(base.path).name
    return ComfyBase(name, base.family, base.prediction, base.zero_terminal_snr, skip)


def portrait_of(run: Run, framing: str = "") -> Cell:
    """A plain portrait at the size of the training, or as `deploy.infotext.portrait` paints a framing."""
    file = run.file
    side = file.settings.resolution or family_named(file.base.family).side(file.base.prediction)
    return portrait(file.character, side, file.base.guidance, framing)
