"""Gives a workflow its default painter: diffusers with the base model, loaded when it is first needed.

Painters that paint elsewhere get the base model's VAE here, so that photos stay on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import Image

from lib_lora.grid.cells import Painter
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.training.plan.train_settings import Precision, TrainSettings


def painter_of(painter: Painter | None, info: ModelInfo, train: TrainSettings) -> Callable[[], Painter]:
    """Gives `painter`, or diffusers' with the base model, which is loaded when it is first asked for."""
    if painter is not None:
        return lambda: painter
    return partial(_diffusers, info, train.precision, train.clip_skip)


def _diffusers(info: ModelInfo, precision: Precision, clip_skip: int) -> Painter:
    from lib_lora.grid.diffusers_painter import DiffusersPainter
    from lib_lora.training import distributed
    from lib_lora.training.precision import dtype_of

    return DiffusersPainter(info, distributed.device(), dtype_of(precision), clip_skip)


class LocalVae:
    """A base model's VAE on this machine, loaded when it is first asked for: photos stay here, whoever paints.

    Args:
        info: gives the base model.
    """

    def __init__(self, info: Callable[[], ModelInfo]) -> None:
        self._info = info
        self._vae: Any = None

    def __call__(self, image: Image.Image) -> Image.Image:
        """An RGB picture (sides multiples of 8) through it and back."""
        from lib_lora.models.vae import reconstruct

        if self._vae is None:
            import torch

            info, device = self._info(), torch.device("cpu")  # the GPU here may be at work on something else
            self._vae = info.load_vae(info.model_family.vae_dtype(device, torch.float32), device)
        return reconstruct(self._vae, image)
